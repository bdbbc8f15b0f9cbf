import { Argument, type Command } from 'commander';
import type { Node } from '../api-types.ts';
import { connect, examples, segment, writeRows } from '../command.ts';
import { addEvents } from '../events.ts';
import { keyValues, time, write, writeJson } from '../output.ts';
import type { Settings } from '../settings.ts';
import { writeMetadata } from './network.ts';

const HEAD = ['name', 'ip', 'last seen', 'state', 'roles', 'release', 'datapath'];

function roles(node: Node): string {
  const words = [node.is_hypervisor ? 'hypervisor' : '', node.is_network_node ? 'network node' : ''];
  return words.filter((word) => word !== '').join('; ');
}

function show(settings: Settings, node: Node): void {
  if (settings.output === 'json') {
    writeJson(node);
    return;
  }
  const simple = settings.output === 'simple';
  const { datapath } = node;
  const problems = datapath?.problems ?? [];
  write(
    keyValues(
      [
        ['name', node.name],
        ['ip', node.ip],
        ['state', node.state],
        ['last seen', time(node.lastseen)],
        ['release', node.release],
        ['hypervisor', node.is_hypervisor],
        ['network node', node.is_network_node],
        ['underlay mtu', node.underlay_mtu],
        ['datapath', datapath?.mode],
        ['wanted', datapath?.wanted],
        ...(datapath?.reason ? [['reason', datapath.reason] as [string, unknown]] : []),
        ['hook', datapath?.underlay_hook],
        ...(datapath?.nat ? [['nat', datapath.nat] as [string, unknown]] : []),
        ...(datapath?.nat_reason ? [['nat reason', datapath.nat_reason] as [string, unknown]] : []),
        ...problems.map((problem): [string, unknown] => ['problem', problem]),
      ],
      { simple },
    ),
  );
  write('');
  writeMetadata(node.metadata, simple);
}

export function addNodeCommands(program: Command): void {
  const group = program.command('node').description('Nodes (hypervisors) and their datapath');
  examples(group, ['fistpath node list', 'fistpath node datapath sf-2 kernel']);

  const list = group
    .command('list')
    .description('Lists the nodes. A node that stopped answering has state missing.')
    .action(async (_options: unknown, command: Command) => {
      const { settings, api } = connect(command);
      const nodes = await api.request<Node[]>('list nodes', 'GET', '/nodes');
      const rows = nodes.map((n) => [
        n.name,
        n.ip,
        settings.output === 'simple' ? n.lastseen : time(n.lastseen),
        n.state,
        roles(n),
        n.release,
        n.datapath?.mode,
      ]);
      await writeRows(settings, 'nodes', nodes, HEAD, rows);
    });
  examples(list, ['fistpath node list']);

  const showCommand = group
    .command('show')
    .description('Shows one node: state, roles, and the datapath in force there.')
    .argument('<node>', 'name of the node')
    .action(async (name: string, _options: unknown, command: Command) => {
      const { settings, api } = connect(command);
      show(settings, await api.request<Node>(`show node ${name}`, 'GET', `/nodes/${segment(name)}`));
    });
  examples(showCommand, ['fistpath node show sf-2']);

  addEvents(group, 'node');

  const datapath = group
    .command('datapath')
    .description(
      'Says which datapath a node should run: ebpf (the fast path in front of the kernel) or kernel (the fallback alone). The node follows at once and no connection is lost. Admin only.',
    )
    .argument('<node>', 'name of the node')
    .addArgument(new Argument('<mode>', 'ebpf or kernel').choices(['ebpf', 'kernel']))
    .action(async (name: string, mode: string, _options: unknown, command: Command) => {
      const { settings, api } = connect(command);
      const path = `/nodes/${segment(name)}/datapath`;
      show(settings, await api.request<Node>(`set the datapath of node ${name}`, 'PUT', path, { mode }));
    });
  examples(datapath, ['fistpath node datapath sf-2 kernel', 'fistpath node datapath sf-2 ebpf']);
}
