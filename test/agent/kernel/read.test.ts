/** A read that fails or says nothing is no permission to delete: the tools' answers are made up. */
import assert from 'node:assert/strict';
import { Node, STATE, type ToolAnswer } from './node.ts';
import { NETWORK, network, OTHER_NETWORK, SF1 } from './samples.ts';

const LINKS = [
  { ifindex: 2, ifname: 'mesh0', mtu: 9000, flags: ['UP'] },
  {
    ifindex: 3,
    ifname: 'vxlan-2',
    mtu: 8950,
    flags: ['UP'],
    ifalias: `fistpath:${NETWORK}`,
    linkinfo: { info_kind: 'vxlan' },
  },
];
const ANSWERS: Record<string, ToolAnswer> = {
  'ip -j -d link show': { stdout: JSON.stringify(LINKS) },
  'ip -j netns list': { stdout: '' },
  'bridge -j fdb show': { stdout: '[]' },
  'nft -j list table ip fistpath': { stdout: '{"nftables":[]}' },
  'nft -j list table bridge fistpath': { stdout: '{"nftables":[]}' },
};

describe('kernel fallback, reading', () => {
  let node: Node;
  // A node of its own all the same: settings under /proc/sys are written without a tool.
  before(async () => {
    node = await Node.start(SF1);
  });
  after(() => node?.stop());

  const answering = (change: Record<string, ToolAnswer>) => node.configure({}, { ...ANSWERS, ...change });

  for (const command of Object.keys(ANSWERS)) {
    it(`changes nothing when "${command}" fails`, async () => {
      await answering({ [command]: { code: 1 } });
      await assert.rejects(node.apply([]), /can't be read/);
      assert.deepEqual(await node.invented(), []);
    });
  }

  it('changes nothing when the answer is torn or the underlay is not in it', async () => {
    await answering({ 'ip -j -d link show': { stdout: '[{"ifindex":' } });
    await assert.rejects(node.apply([]), /JSON/);
    await answering({ 'ip -j -d link show': { stdout: '[]' } });
    await assert.rejects(node.apply([]), /mesh0 does not exist/);
    assert.deepEqual(await node.invented(), []);
  });

  it('deletes when everything was read (the control of these tests)', async () => {
    await answering({});
    await node.apply([]);
    assert.ok((await node.invented()).some((words) => words.startsWith('ip -force -batch')));
  });

  it('gives a failure of a batch to the network whose line it was', async () => {
    const stderr = 'RTNETLINK answers: No buffer space available\nCommand failed build.ip:2\n';
    await answering({ [`ip -force -batch ${STATE}/batch/build.ip`]: { code: 1, stderr } });
    const { networks } = await node.apply([network({ vni: 4 }), network({ uuid: OTHER_NETWORK, vni: 5 })]);
    assert.match(
      networks[NETWORK]!.error!,
      /"ip link add name .*" failed: RTNETLINK answers: No buffer space/,
    );
    assert.doesNotMatch(networks[OTHER_NETWORK]!.error ?? '', /No buffer/);
  });

  it("tells a failure that is no network's, and the networks' results all the same", async () => {
    await node.run('ip netns add leftover');
    await node.run(`touch ${STATE}/netns/leftover`);
    const stderr = 'Cannot open: Device or resource busy\nCommand failed build.ip:2\n';
    await answering({ [`ip -force -batch ${STATE}/batch/build.ip`]: { code: 1, stderr } });
    const { networks, problems } = await node.apply([]);
    assert.match(problems.join(), /"ip netns del leftover" failed: .*busy/);
    assert.deepEqual(networks[NETWORK]?.error, undefined);
    assert.equal(networks[NETWORK]?.steps[0]?.operation, 'delete vxlan interface');
  });
});
