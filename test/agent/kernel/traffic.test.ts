/** Two nodes, real packets. */
import assert from 'node:assert/strict';
import { type Node, twoNodes } from './node.ts';
import { guest, network, SF1, SF2 } from './samples.ts';

describe('kernel fallback, traffic', () => {
  const here = [guest(1), guest(2)];
  const there = [guest(3)];
  let sf1: Node;
  let sf2: Node;

  before(async () => {
    [sf1, sf2] = await twoNodes();
    await sf1.applied([network({ local: here, remote: there, peer: SF2, router: 'here' })]);
    await sf2.applied([network({ local: there, remote: here, peer: SF1, router: 'there' })]);
  });
  after(async () => {
    await Promise.all([sf1?.stop(), sf2?.stop()]);
  });

  it('carries pings between the nodes and to the router', async () => {
    const from = `@${there[0]!.instance}`;
    for (const address of [here[0]!.ipv4, here[1]!.ipv4, '192.168.0.1']) {
      const output = await sf2.run(`${from} ping -c 3 -i 0.05 -W 1 -s 8900 -M do ${address}`);
      assert.match(output, / 0% packet loss/);
    }
  });
});
