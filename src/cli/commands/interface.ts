import type { Command } from 'commander';
import type { Interface } from '../api-types.ts';
import { connect, examples, segment } from '../command.ts';
import { csv, keyValues, write, writeJson } from '../output.ts';
import { writeMetadata } from './network.ts';

export const INTERFACE_HEAD = [
  'iface',
  'interface uuid',
  'network uuid',
  'macaddr',
  'order',
  'ipv4',
  'floating',
  'model',
];

export function interfaceRow(one: Interface): unknown[] {
  return ['iface', one.uuid, one.network_uuid, one.macaddr, one.order, one.ipv4, one.floating, one.model];
}

export function interfacePairs(one: Interface): [string, unknown][] {
  return [
    ['uuid', one.uuid],
    ['network', one.network_uuid],
    ['macaddr', one.macaddr],
    ['order', one.order],
    ['ipv4', one.ipv4],
    ['floating', one.floating],
  ];
}

export function addInterfaceCommands(program: Command): void {
  const group = program.command('interface').description('Interfaces of instances');
  examples(group, ['fistpath interface show c051356d-58fe-439b-8a6b-e772858298b0']);
  const showCommand = group
    .command('show')
    .description('Shows one interface.')
    .argument('<interface>', 'uuid of the interface')
    .action(async (uuid: string, _options: unknown, command: Command) => {
      const { settings, api } = connect(command);
      const path = `/interfaces/${segment(uuid)}`;
      const one = await api.request<Interface>(`show interface ${uuid}`, 'GET', path);
      if (settings.output === 'json') return writeJson(one);
      if (settings.output === 'simple') return write(csv(INTERFACE_HEAD, [interfaceRow(one)]));
      const error: [string, unknown][] = one.error_message ? [['error', one.error_message]] : [];
      const pairs: [string, unknown][] = [
        ...interfacePairs(one),
        ['instance', one.instance_uuid],
        ['model', one.model],
        ['state', one.state],
      ];
      write(keyValues([...pairs, ...error]));
      write('');
      writeMetadata(one.metadata, false);
    });
  examples(showCommand, ['fistpath interface show c051356d-58fe-439b-8a6b-e772858298b0']);

  const float = group
    .command('float')
    .summary('give it a floating address')
    .description(
      'Gives an interface a floating address, by which the outside reaches it and as which it leaves, and prints the address. Its network needs NAT.',
    )
    .argument('<interface>', 'uuid of the interface')
    .action(async (uuid: string, _options: unknown, command: Command) => {
      const { settings, api } = connect(command);
      const path = `/interfaces/${segment(uuid)}`;
      await api.request<null>(`float interface ${uuid}`, 'POST', `${path}/float`);
      const one = await api.request<Interface>(`show interface ${uuid}`, 'GET', path);
      if (settings.output === 'json') writeJson(one);
      else write(String(one.floating));
    });
  examples(float, ['fistpath interface float c051356d-58fe-439b-8a6b-e772858298b0']);

  const defloat = group
    .command('defloat')
    .summary('take its floating address')
    .description('Takes the floating address from an interface. Its connections through that address end.')
    .argument('<interface>', 'uuid of the interface')
    .action(async (uuid: string, _options: unknown, command: Command) => {
      const { settings, api } = connect(command);
      const path = `/interfaces/${segment(uuid)}/defloat`;
      const answer = await api.request<null>(`defloat interface ${uuid}`, 'POST', path);
      if (settings.output === 'json') writeJson(answer);
    });
  examples(defloat, ['fistpath interface defloat c051356d-58fe-439b-8a6b-e772858298b0']);
}
