import type { Command } from 'commander';
import { connect, examples, segment } from '../command.ts';
import { EXIT } from '../failure.ts';
import { write, writeJson } from '../output.ts';

/** `/networks/demonet/route/10.10.0.7` */
function pathOf(network: string, ...rest: string[]): string {
  return ['/networks', ...[network, ...rest].map(segment)].join('/');
}

/** What a network's router does for it: ping, routed addresses, DNS entries. */
export function addNetworkServices(group: Command): void {
  const ping = group
    .command('ping')
    .summary('ping from its router')
    .description(
      "Pings an address of the network, or of the floating network, from the network's router. Exit code 1 when nothing answers.",
    )
    .argument('<network>', 'name or uuid of the network')
    .argument('<address>', 'IPv4 address')
    .action(async (network: string, address: string, _options: unknown, command: Command) => {
      const { settings, api } = connect(command);
      const { stdout, stderr } = await api.request<{ stdout: string; stderr: string }>(
        `ping ${address} from network ${network}`,
        'GET',
        pathOf(network, 'ping', address),
      );
      if (settings.output === 'json') writeJson({ stdout, stderr });
      else {
        process.stdout.write(stdout);
        process.stderr.write(stderr);
      }
      // "10 packets transmitted, 10 received, …" of iputils.
      if (!/[1-9][0-9]* received/.test(stdout)) process.exitCode = EXIT.failure;
    });
  examples(ping, ['fistpath network ping demonet 192.168.0.100']);

  const route = group
    .command('route')
    .summary('route an outside address to it')
    .description(
      'Routes an address of the floating network to the network, and prints it. Any instance on the network may then use it as its own, without translation.',
    )
    .argument('<network>', 'name or uuid of the network')
    .action(async (network: string, _options: unknown, command: Command) => {
      const { settings, api } = connect(command);
      const purpose = `route an address to network ${network}`;
      const address = await api.request<string>(purpose, 'POST', pathOf(network, 'route'));
      if (settings.output === 'json') writeJson(address);
      else write(address);
    });
  examples(route, ['fistpath network route demonet']);

  const unroute = group
    .command('unroute')
    .summary('take a routed address back')
    .description('Takes a routed address back from the network.')
    .argument('<network>', 'name or uuid of the network')
    .argument('<address>', 'the routed address')
    .action(async (network: string, address: string, _options: unknown, command: Command) => {
      const { settings, api } = connect(command);
      const purpose = `take address ${address} from network ${network}`;
      const answer = await api.request<null>(purpose, 'DELETE', pathOf(network, 'route', address));
      if (settings.output === 'json') writeJson(answer);
    });
  examples(unroute, ['fistpath network unroute demonet 10.10.0.7']);

  const dns = group.command('dns').description('Names that its DNS answers beside those of its instances');
  examples(dns, ['fistpath network dns add demonet db 192.168.0.100']);
  const add = dns
    .command('add')
    .description('Adds a name, or replaces it. The network must have been created with --dns.')
    .argument('<network>', 'name or uuid of the network')
    .argument('<name>', "inside the network's domain; with a dot at its end: as it stands")
    .argument('<address>', 'the IPv4 address that it stands for')
    .action(async (network: string, name: string, address: string, _options: unknown, command: Command) => {
      const { settings, api } = connect(command);
      const purpose = `add DNS name ${name} to network ${network}`;
      const answer = await api.request<null>(purpose, 'POST', pathOf(network, 'dns'), {
        name,
        value: address,
      });
      if (settings.output === 'json') writeJson(answer);
    });
  examples(add, [
    'fistpath network dns add demonet db 192.168.0.100',
    'fistpath network dns add demonet www.example.org. 192.168.0.100',
  ]);
  const remove = dns
    .command('remove')
    .description('Removes a name.')
    .argument('<network>', 'name or uuid of the network')
    .argument('<name>', 'as it was added')
    .action(async (network: string, name: string, _options: unknown, command: Command) => {
      const { settings, api } = connect(command);
      const purpose = `remove DNS name ${name} from network ${network}`;
      const answer = await api.request<null>(purpose, 'DELETE', pathOf(network, 'dns'), { name });
      if (settings.output === 'json') writeJson(answer);
    });
  examples(remove, ['fistpath network dns remove demonet db']);
}
