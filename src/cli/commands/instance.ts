import { type Command, InvalidArgumentError } from 'commander';
import type { Instance } from '../api-types.ts';
import { connect, examples, segment, whole, writeRows } from '../command.ts';
import { addEvents } from '../events.ts';
import { csv, keyValues, write, writeJson } from '../output.ts';
import type { Settings } from '../settings.ts';
import { INTERFACE_HEAD, interfacePairs, interfaceRow } from './interface.ts';
import { writeMetadata } from './network.ts';

const HEAD = [
  'uuid',
  'name',
  'namespace',
  'cpus',
  'memory',
  'hypervisor',
  'power state',
  'state',
  'interfaces',
];

interface NetworkSpec {
  network_uuid: string;
  [field: string]: string | boolean;
}

interface DiskSpec {
  size: number;
  base: string | null;
  bus: null;
  type: 'disk';
}

interface CreateOptions {
  disk: DiskSpec[];
  placement?: string;
  namespace?: string;
}

/** `8@cirros` is a disk of 8 GB that starts as a copy of cirros; `8` an empty one. */
function parseDisk(text: string, before: DiskSpec[] = []): DiskSpec[] {
  const match = /^([1-9][0-9]*)(?:@(.+))?$/.exec(text);
  if (match === null) throw new InvalidArgumentError('Give SIZE or SIZE@BASE, such as 8@cirros.');
  return [...before, { size: Number(match[1]), base: match[2] ?? null, bus: null, type: 'disk' }];
}

/** `demonet` or `demonet@192.168.0.9`. */
function parseNetwork(text: string): NetworkSpec {
  const [network, address, ...more] = text.split('@');
  if (!network || address === '' || more.length > 0) {
    throw new InvalidArgumentError('Give NETWORK or NETWORK@ADDRESS.');
  }
  return { network_uuid: network, ...(address === undefined ? {} : { address }) };
}

/** `network_uuid=demonet,address=192.168.0.9,macaddress=02:00:00:aa:bb:cc`. */
function parseNetworkSpec(text: string): NetworkSpec {
  const known = ['network_uuid', 'address', 'macaddress', 'model', 'float'];
  const spec: Record<string, string | boolean> = {};
  for (const part of text.split(',')) {
    const at = part.indexOf('=');
    const [field, value] = [part.slice(0, at), part.slice(at + 1)];
    if (at < 1 || !known.includes(field)) {
      throw new InvalidArgumentError(
        `Give field=value pairs, separated by commas; fields are ${known.join(', ')}.`,
      );
    }
    spec[field] = field === 'float' ? /^true$/i.test(value) : value;
  }
  const { network_uuid } = spec;
  if (typeof network_uuid !== 'string' || network_uuid === '')
    throw new InvalidArgumentError('network_uuid is missing.');
  return { ...spec, network_uuid };
}

function show(settings: Settings, instance: Instance): void {
  if (settings.output === 'json') {
    writeJson(instance);
    return;
  }
  const simple = settings.output === 'simple';
  const pairs: [string, unknown][] = [
    ['uuid', instance.uuid],
    ['name', instance.name],
    ['namespace', instance.namespace],
    ['cpus', instance.cpus],
    ['memory', instance.memory],
    ...(simple ? [] : [['disk spec', instance.disk_spec] as [string, unknown]]),
    ['node', instance.node],
    ['power state', instance.power_state],
    ['state', instance.state],
    ...(instance.error_message ? [['error', instance.error_message] as [string, unknown]] : []),
    ['console port', instance.console_port],
    ['vdi port', instance.vdi_port],
  ];
  write(keyValues(pairs, { simple }));
  write('');
  write(
    keyValues(
      [
        ['ssh key', instance.ssh_key],
        ['user data', instance.user_data],
      ],
      { simple },
    ),
  );
  write('');
  if (simple) {
    const disks = instance.disk_spec.map((disk) => ['disk_spec', disk.type, disk.bus, disk.size, disk.base]);
    write(csv(['disk_spec', 'type', 'bus', 'size', 'base'], disks));
    write('');
    writeMetadata(instance.metadata, simple);
    write('');
    write(csv(INTERFACE_HEAD, instance.interfaces.map(interfaceRow)));
    return;
  }
  writeMetadata(instance.metadata, simple);
  write('');
  write('Interfaces:');
  for (const one of instance.interfaces) {
    write('');
    write(keyValues(interfacePairs(one), { indent: 4, width: 8 }));
  }
}

export function addInstanceCommands(program: Command): void {
  const group = program.command('instance').description('Instances (virtual machines) and their interfaces');
  examples(group, ['fistpath instance create web 2 2048 -d 20@debian -n demonet', 'fistpath instance list']);

  // Three options name networks, and what counts is the order in which they stand.
  const networks: NetworkSpec[] = [];
  const create = group
    .command('create')
    .description('Creates an instance. Networks become eth0, eth1, … in the order given.')
    .argument('<name>', 'name of the instance')
    .argument('<cpus>', 'number of virtual CPUs', whole(1))
    .argument('<memory>', 'memory in MB', whole(1))
    .option(
      '-d, --disk <size@base>',
      'a disk: size in GB, and the image it starts from (repeatable)',
      parseDisk,
    )
    .option('-n, --network <network@address>', 'a network, and an address in it (repeatable)', (text) =>
      networks.push(parseNetwork(text)),
    )
    .option('-f, --floated <network@address>', 'the same with a floating address (repeatable)', (text) =>
      networks.push({ ...parseNetwork(text), float: true }),
    )
    .option('-N, --networkspec <spec>', 'the same as field=value pairs (repeatable)', (text) =>
      networks.push(parseNetworkSpec(text)),
    )
    .option('-p, --placement <node>', 'on this node')
    .option('--namespace <namespace>', 'create it in another namespace (admin)')
    .action(async (name: string, cpus: number, memory: number, options: CreateOptions, command: Command) => {
      const { settings, api } = connect(command);
      const instance = await api.request<Instance>(`create instance ${name}`, 'POST', '/instances', {
        name,
        cpus,
        memory,
        network: networks,
        disk: options.disk ?? [],
        ssh_key: null,
        user_data: null,
        ...(options.placement === undefined ? {} : { placed_on: options.placement }),
        ...(options.namespace === undefined ? {} : { namespace: options.namespace }),
      });
      show(settings, instance);
    });
  examples(create, [
    'fistpath instance create inst-on-sf-2 1 1024 -d 8@cirros -n demonet -p sf-2',
    'fistpath instance create web 2 2048 -d 20@debian:12 -f demonet@192.168.0.9 -n backend',
    'fistpath instance create fixed 1 512 -d 8 -N network_uuid=demonet,address=192.168.0.7,macaddress=02:00:00:aa:bb:cc',
  ]);

  const list = group
    .command('list')
    .description('Lists the instances of the namespace.')
    .option('-a, --all', 'deleted instances and those in error too')
    .action(async (options: { all?: boolean }, command: Command) => {
      const { settings, api } = connect(command);
      const body = options.all ? { all: true } : undefined;
      const instances = await api.request<Instance[]>('list instances', 'GET', '/instances', body);
      const join = settings.output === 'simple' ? ';' : '\n';
      const rows = instances.map((i) => {
        const interfaces = i.interfaces.map((one) => `${one.order}: ${one.ipv4 ?? 'no address'}`);
        return [
          i.uuid,
          i.name,
          i.namespace,
          i.cpus,
          i.memory,
          i.node,
          i.power_state,
          i.state,
          interfaces.join(join),
        ];
      });
      await writeRows(settings, 'instances', instances, HEAD, rows);
    });
  examples(list, ['fistpath instance list', 'fistpath instance list --json | jq -r .instances[].name']);

  const showCommand = group
    .command('show')
    .description('Shows one instance with its interfaces.')
    .argument('<instance>', 'name or uuid of the instance')
    .action(async (reference: string, _options: unknown, command: Command) => {
      const { settings, api } = connect(command);
      const path = `/instances/${segment(reference)}`;
      show(settings, await api.request<Instance>(`show instance ${reference}`, 'GET', path));
    });
  examples(showCommand, ['fistpath instance show inst-on-sf-2']);

  addEvents(group, 'instance');

  const remove = group
    .command('delete')
    .description('Deletes an instance. It stays readable, in state deleted.')
    .argument('<instance>', 'name or uuid of the instance')
    .action(async (reference: string, _options: unknown, command: Command) => {
      const { settings, api } = connect(command);
      const path = `/instances/${segment(reference)}`;
      const answer = await api.request<unknown>(`delete instance ${reference}`, 'DELETE', path);
      if (settings.output === 'json') writeJson(answer);
    });
  examples(remove, ['fistpath instance delete inst-on-sf-2']);
}
