/*
 * A controller that says what it is told to say, for desired states that the real one refuses to make.
 * Arguments: "host:port" to listen at, wanted datapath, a JSON file { node: NodeNetwork[] } with MACs in hex.
 * Prints a line for every status that an agent reports.
 */
import { readFileSync } from 'node:fs';
import type { fistpath } from '#proto';
import { listenForAgents } from '../../src/controller/agent-service.ts';
import type { Agents } from '../../src/controller/agents.ts';

interface PlannedNetwork extends Omit<fistpath.INodeNetwork, 'ports' | 'remoteMacs'> {
  ports: { interface: string; instance: string; mac: string; ipv4: string }[];
  remoteMacs: { mac: string; node: string }[];
}

const [address, datapath, file] = process.argv.slice(2) as [string, string, string];
const plan = JSON.parse(readFileSync(file, 'utf8')) as Record<string, PlannedNetwork[]>;
const bytes = (mac: string) => Buffer.from(mac.replaceAll(':', ''), 'hex');

function connect({ write }: { write: (message: fistpath.IControllerMessage) => unknown }) {
  let node = '';
  return {
    receive({ hello, status, datapath: running }: fistpath.AgentMessage) {
      if (hello) {
        node = hello.node!;
        const networks = (plan[node] ?? []).map(({ ports, remoteMacs, ...rest }) => ({
          ...rest,
          ports: ports.map((port) => ({ ...port, mac: bytes(port.mac), order: 0 })),
          remoteMacs: remoteMacs.map((each) => ({ ...each, mac: bytes(each.mac) })),
        }));
        write({ revision: 1, snapshot: { networks, settings: { datapath, nodeNames: {} } } });
      }
      if (status)
        console.log(`${node} ${status.objectType} ${status.objectUuid} ${status.progress} ${status.error}`);
      if (running) console.log(`${node} datapath ${running.mode}`);
    },
    drained: () => undefined,
    closed: () => undefined,
  };
}

await listenForAgents({ connect } as unknown as Agents, address);
