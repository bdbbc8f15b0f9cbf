/** An agent's dnsmasq supervisor in a process of its own, so that it can be killed: applies once, then waits. */
import { fistpath } from '#proto';
import type { NetworkResult } from '../../src/agent/kernel/kernel.ts';
import { Dnsmasq } from '../../src/agent/services/dnsmasq.ts';

export interface ChildTask {
  stateDirectory: string;
  /** NodeNetwork, base64. */
  network: string;
  result: NetworkResult;
}

async function serve({ stateDirectory, network, result }: ChildTask): Promise<void> {
  const record = fistpath.NodeNetwork.decode(Buffer.from(network, 'base64'));
  const dnsmasq = new Dnsmasq({ stateDirectory, servers: [], onSick: () => {} });
  const applied = await dnsmasq.apply(new Map([[record.uuid, record]]), new Map([[record.uuid, result]]));
  process.send!([...applied.errors.values()]);
}

process.on('message', (task: ChildTask) => void serve(task));
