// The numbers at /metrics against what is there.
import assert from 'node:assert/strict';
import { fistpath } from '#proto';
import { encodeRecord } from '../../src/records/codec.ts';
import { recordKey } from '../../src/records/keys.ts';
import { instanceOn, type Real, realServer } from './real.ts';

describe('API: metrics', () => {
  let real: Real;

  before(async () => {
    real = await realServer();
  });
  after(() => real.close());

  const metrics = async () => (await real.app.inject('/metrics')).body.split('\n');

  it('count objects that are not deleted', async () => {
    const network = await real.ask('POST', '/networks', { name: 'net', netblock: '192.168.0.0/24' });
    await real.ask('POST', '/instances', instanceOn({ network_uuid: network.json.uuid }));
    const gone = await real.ask('POST', '/instances', instanceOn());
    const counts = async () => (await metrics()).filter((line) => line.startsWith('fistpath_objects'));
    const expected = (instances: number) => [
      'fistpath_objects{type="network"} 1',
      `fistpath_objects{type="instance"} ${instances}`,
      'fistpath_objects{type="interface"} 1',
      'fistpath_objects{type="node"} 4',
      'fistpath_objects{type="namespace"} 3',
    ];
    assert.deepEqual(await counts(), expected(2));
    await real.ask('DELETE', `/instances/${gone.json.uuid}`);
    assert.deepEqual(await counts(), expected(1));
  });

  it('tell which nodes answer, and the datapath in force on each', async () => {
    const put = (name: string, mode: string | undefined) => {
      const datapathStatus = mode === undefined ? null : fistpath.DatapathStatus.create({ mode });
      const fields = { name, state: fistpath.State.CREATED, datapath: 'ebpf', datapathStatus };
      const value = encodeRecord('node', fistpath.Node.create(fields));
      return real.store.transaction([], [{ put: recordKey('node', name), value }]);
    };
    await put('sf-1', 'ebpf');
    await put('sf-2', 'kernel');
    const about = async (what: string) =>
      (await metrics()).filter((line) => line.startsWith(`fistpath_node_${what}{`)).toSorted();
    assert.deepEqual(await about('datapath'), [
      'fistpath_node_datapath{node="sf-1",mode="ebpf"} 1',
      'fistpath_node_datapath{node="sf-1",mode="kernel"} 0',
      'fistpath_node_datapath{node="sf-2",mode="ebpf"} 0',
      'fistpath_node_datapath{node="sf-2",mode="kernel"} 1',
    ]);
    assert.deepEqual(await about('answers'), [
      'fistpath_node_answers{node="sf-1"} 1',
      'fistpath_node_answers{node="sf-2"} 1',
      'fistpath_node_answers{node="sf-3"} 1',
      'fistpath_node_answers{node="sf-lost"} 0',
    ]);
    assert.equal((await real.ask('DELETE', '/nodes/sf-2')).status, 200);
    assert.equal((await about('datapath')).length, 2, 'a forgotten node has no rows');
  });
});
