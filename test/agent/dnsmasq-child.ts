/** An agent's dnsmasq supervisor in a process of its own, which can be killed, or have less rights. */
import { fistpath } from '#proto';
import type { NetworkResult } from '../../src/agent/kernel/kernel.ts';
import { Dnsmasq } from '../../src/agent/services/dnsmasq.ts';

export interface ChildTask {
  stateDirectory: string;
  /** NodeNetworks, base64, with what the kernel path made of them. */
  networks: { record: string; result: NetworkResult }[];
}

let dnsmasq: Dnsmasq | undefined;

async function serve({ stateDirectory, networks }: ChildTask): Promise<void> {
  dnsmasq ??= new Dnsmasq({ stateDirectory, servers: [], onSick: () => {} });
  const wanted = networks.map(({ record }) => fistpath.NodeNetwork.decode(Buffer.from(record, 'base64')));
  const applied = await dnsmasq.apply(
    new Map(wanted.map((network) => [network.uuid, network])),
    new Map(networks.map(({ result }) => [result.uuid, result])),
  );
  process.send!([...applied.errors.values()]);
}

process.on('disconnect', () => process.exit());
process.on('message', (task: ChildTask) => void serve(task));
