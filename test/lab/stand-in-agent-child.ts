/*
 * A member of the mesh that runs no fistpath: speaks the agent's side of the protocol, says that everything it is
 * told is done, and does nothing. What the node really has is made by hand.
 * Arguments: controller's "host:port", node name, underlay address.
 */
import { fistpath } from '#proto';
import { ControllerStream } from '../../src/agent/stream.ts';
import { UNDERLAY_MTU } from './topology.ts';

const [controller, node, address] = process.argv.slice(2) as [string, string, string];
const { DONE } = fistpath.ObjectStatus.Progress;

function agree(network: fistpath.INodeNetwork): void {
  stream.send({ status: { objectType: 'network', objectUuid: network.uuid, progress: DONE } });
  for (const port of network.ports ?? []) {
    stream.send({ status: { objectType: 'interface', objectUuid: port.interface, progress: DONE } });
  }
}

const stream = new ControllerStream({
  controllers: [controller],
  hello: async () => ({
    node,
    address,
    underlayMtu: UNDERLAY_MTU,
    hypervisor: true,
    release: 'plain',
    portKind: 'netns',
  }),
  onMessage: (message) => {
    for (const network of message.snapshot?.networks ?? []) agree(network);
    if (message.network) agree(message.network);
    stream.send({ datapath: { mode: 'kernel' } });
  },
  onState: (state, detail) => console.log(state, detail),
});
await stream.run();
