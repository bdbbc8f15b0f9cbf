import type { Command } from 'commander';
import type { Network } from '../api-types.ts';
import { connect, examples, segment, whole, writeRows } from '../command.ts';
import { addEvents } from '../events.ts';
import { usage } from '../failure.ts';
import { csv, keyValues, write, writeJson } from '../output.ts';
import type { Settings } from '../settings.ts';
import { addNetworkServices } from './network-services.ts';

const HEAD = ['uuid', 'name', 'namespace', 'netblock', 'state'];

interface CreateOptions {
  dhcp: boolean;
  nat: boolean;
  dns?: boolean;
  namespace?: string;
  vxid?: number;
}

/** Loose on purpose: whether 192.168.0.300/33 is a good netblock is the API's to say, and it says why. */
function looksLikeNetblock(text: string): boolean {
  return /^[0-9a-f]*[.:][0-9a-f.:]*\/[0-9]+$/i.test(text);
}

/** `NETBLOCK NAME` (the original of 2020) and `NAME NETBLOCK` (since v0.3.2): exactly one of the two is a netblock. */
export function nameAndNetblock(first: string, second: string): { name: string; netblock: string } {
  const [firstIs, secondIs] = [looksLikeNetblock(first), looksLikeNetblock(second)];
  if (firstIs && !secondIs) return { netblock: first, name: second };
  if (secondIs && !firstIs) return { netblock: second, name: first };
  throw usage(
    firstIs
      ? `cannot create a network: both ${first} and ${second} are netblocks: give one netblock and one name`
      : `cannot create a network: neither ${first} nor ${second} is a netblock: give one as 192.168.0.0/24`,
  );
}

type Line = [string, unknown];

function show(settings: Settings, network: Network): void {
  if (settings.output === 'json') {
    writeJson(network);
    return;
  }
  const simple = settings.output === 'simple';
  const pairs: Line[] = [
    ['uuid', network.uuid],
    ['name', network.name],
    ['vxlan id', network.vxid],
    ['netblock', network.netblock],
    ['provide dhcp', network.provide_dhcp],
    ['provide nat', network.provide_nat],
    ...(network.provide_dns ? [['provide dns', true] as Line] : []),
    ...(network.floating_gateway ? [['gateway', network.floating_gateway] as Line] : []),
    ...(network.routed_addresses ?? []).map((address): Line => ['routed', address]),
    ...Object.entries(network.dns_entries ?? {}).map((entry): Line => ['dns', entry.join(' = ')]),
    ['namespace', network.namespace],
    ['state', network.state],
    ...(network.error_message ? [['error', network.error_message] as Line] : []),
  ];
  write(keyValues(pairs, { simple }));
  write('');
  writeMetadata(network.metadata, simple);
}

/** The last part of every object's layout. */
export function writeMetadata(metadata: Record<string, string>, simple: boolean): void {
  const entries = Object.entries(metadata);
  if (simple) {
    const rows = entries.map((entry) => ['metadata', ...entry]);
    write(csv(['metadata', 'key', 'value'], rows));
    return;
  }
  write('Metadata:');
  if (entries.length > 0) write(keyValues(entries, { indent: 4, width: 8 }));
}

export function addNetworkCommands(program: Command): void {
  const group = program.command('network').description('Virtual networks');
  examples(group, ['fistpath network create 192.168.0.0/24 demonet', 'fistpath network events demonet']);

  const create = group
    .command('create')
    .description('Creates a network. Name and netblock may stand in either order.')
    .argument('<name>', 'name of the network')
    .argument('<netblock>', 'its addresses, such as 192.168.0.0/24 (/29 or larger)')
    .option('--dhcp', 'answer DHCP requests (default)', true)
    .option('--no-dhcp', 'nothing answers DHCP requests')
    .option('--nat', 'let instances reach the outside, and have floating addresses (default)', true)
    .option('--no-nat', 'no way to the outside')
    .option('--dns', 'answer DNS requests, with the names of its instances')
    .option('--vxid <number>', 'ask for this VXLAN network id', whole(1, 0xffffff))
    .option('--namespace <namespace>', 'create it in another namespace (admin)')
    .action(async (first: string, second: string, options: CreateOptions, command: Command) => {
      const { name, netblock } = nameAndNetblock(first, second);
      const { settings, api } = connect(command);
      const network = await api.request<Network>(`create network ${name}`, 'POST', '/networks', {
        name,
        netblock,
        provide_dhcp: options.dhcp,
        provide_nat: options.nat,
        ...(options.dns ? { provide_dns: true } : {}),
        ...(options.vxid === undefined ? {} : { vxid: options.vxid }),
        ...(options.namespace === undefined ? {} : { namespace: options.namespace }),
      });
      show(settings, network);
    });
  examples(create, [
    'fistpath network create 192.168.0.0/24 demonet --no-dhcp --no-nat',
    'fistpath network create demonet 192.168.0.0/24 --vxid 100 --json',
  ]);

  const list = group
    .command('list')
    .description(
      'Lists the networks of the namespace (of all namespaces for the admin, with --all deleted ones too).',
    )
    .option('-a, --all', 'deleted networks and those in error too')
    .action(async (options: { all?: boolean }, command: Command) => {
      const { settings, api } = connect(command);
      const body = options.all ? { all: true } : undefined;
      const networks = await api.request<Network[]>('list networks', 'GET', '/networks', body);
      const rows = networks.map((n) => [n.uuid, n.name, n.namespace, n.netblock, n.state]);
      await writeRows(settings, 'networks', networks, HEAD, rows);
    });
  examples(list, ['fistpath network list', 'fistpath network list --simple | cut -d, -f1']);

  const showCommand = group
    .command('show')
    .description('Shows one network.')
    .argument('<network>', 'name or uuid of the network')
    .action(async (reference: string, _options: unknown, command: Command) => {
      const { settings, api } = connect(command);
      const path = `/networks/${segment(reference)}`;
      show(settings, await api.request<Network>(`show network ${reference}`, 'GET', path));
    });
  examples(showCommand, ['fistpath network show demonet', 'fistpath network show demonet --json | jq .vxid']);

  addEvents(group, 'network');
  addNetworkServices(group);

  const remove = group
    .command('delete')
    .description('Deletes a network. It stays in state delete-wait until every node has removed it.')
    .argument('<network>', 'name or uuid of the network')
    .action(async (reference: string, _options: unknown, command: Command) => {
      const { settings, api } = connect(command);
      const path = `/networks/${segment(reference)}`;
      const answer = await api.request<unknown>(`delete network ${reference}`, 'DELETE', path);
      if (settings.output === 'json') writeJson(answer);
    });
  examples(remove, ['fistpath network delete demonet']);
}
