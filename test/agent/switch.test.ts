import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import type { fistpath } from '#proto';
import { natRefusal } from '../../src/agent/datapath/capability.ts';
import { DatapathSwitch, type SwitchOptions } from '../../src/agent/datapath/switch.ts';
import type { NetworkResult } from '../../src/agent/kernel/kernel.ts';
import { parseConfig } from '../../src/config.ts';
import { makeWorld, placed, ROUTER, removeWorld } from './nat-world.ts';

const PINS = '/sys/fs/bpf/fistpath-switch';

describe('DatapathSwitch on a network node', () => {
  const said: fistpath.IDatapathStatus[] = [];
  const switches: DatapathSwitch[] = [];
  const make = (more: object, options: Partial<SwitchOptions> = {}) => {
    for (const each of switches.splice(0)) each.close();
    said.length = 0;
    const text = JSON.stringify({
      node: 'sf-1',
      roles: ['agent'],
      underlay: { device: 'under0', address: '10.2.1.11' },
      controllers: ['10.2.1.11:13001'],
      bpf_directory: PINS,
      network_node: true,
      uplink: { device: 'uplink0' },
      map_sizes: { flows: 1024 },
      ...more,
    });
    const made = new DatapathSwitch({
      config: parseConfig(text, 'test'),
      log: pino({ level: 'silent' }),
      onStatus: (status) => said.push(status),
      onEvent: () => {},
      ...options,
    });
    switches.push(made);
    made.want('ebpf');
    return made;
  };
  const apply = (datapath: DatapathSwitch, result: Partial<NetworkResult> = {}) => {
    const { wanted, devices } = placed();
    const results = new Map([[ROUTER, { uuid: ROUTER, steps: [], devices, ...result }]]);
    return datapath.apply(new Map([[ROUTER, wanted]]), results, true);
  };
  const attached = (prefix: string) => readdirSync(`${PINS}/links`).filter((name) => name.startsWith(prefix));

  before(() => {
    assert.ok(process.env.FISTPATH_TEST_NAMESPACE, 'run it with `npm test -- test/agent/switch.test.ts`');
    makeWorld();
  });

  after(() => {
    for (const each of switches) each.close();
    removeWorld();
  });

  it('says that NAT is the fast path’s, too', async () => {
    const datapath = make({});
    await apply(datapath);
    assert.deepEqual(said, [
      { mode: 'ebpf', reason: '', underlayHook: 'tc', nat: 'ebpf', natReason: '', problems: [] },
    ]);
    assert.equal(attached('learn').length, 2);
    assert.equal(attached('uplink').length, 1);
    const { writes } = await apply(datapath);
    assert.equal(writes, 0);
  });

  it('leaves to the kernel what the kernel path could not build', async () => {
    const datapath = make({});
    await apply(datapath);
    await apply(datapath, { devices: undefined, error: 'no address' });
    assert.equal(attached('learn').length, 0);
    assert.equal(attached('port').length, 0);
  });

  it('says why NAT is the kernel’s alone, and runs everything else', async () => {
    await apply(make({}, { natRefusal: () => 'too old' }));
    assert.deepEqual(
      said.map(({ mode, nat, natReason }) => [mode, nat, natReason]),
      [['ebpf', 'kernel', 'too old']],
    );
    assert.equal(attached('learn').length + attached('uplink').length, 0);
    assert.equal(attached('port').length, 2);

    await apply(make({}));
    assert.equal(attached('learn').length, 2);
    const off = make({});
    off.want('kernel');
    await apply(off);
    assert.deepEqual([said[0]!.nat, said[0]!.natReason], ['kernel', 'the fast path is off']);
    assert.deepEqual(attached(''), []);

    await apply(make({ uplink: undefined }));
    assert.match(said[0]!.natReason!, /no uplink is configured on this node: set uplink\.device/);
  });

  it('says nothing about NAT on other nodes', async () => {
    await apply(make({ network_node: false }));
    assert.deepEqual([said[0]!.mode, said[0]!.nat, said[0]!.natReason], ['ebpf', '', '']);
    assert.equal(attached('learn').length, 0);
  });
});

describe('natRefusal', () => {
  const directory = mkdtempSync(join(tmpdir(), 'btf-'));
  const kernel = (name: string, files: Record<string, string[]>) => {
    const path = join(directory, name);
    mkdirSync(path);
    for (const [file, names] of Object.entries(files))
      writeFileSync(join(path, file), `\0${names.join('\0')}\0`);
    return path;
  };
  after(() => rmSync(directory, { recursive: true }));

  it('finds nothing wrong with this kernel', () => assert.equal(natRefusal(), undefined));

  it('names what is missing', () => {
    assert.match(natRefusal(kernel('none', {}))!, /no BTF/);
    const older = kernel('older', { vmlinux: ['nf_conntrack_in', 'BPF_XDP'] });
    assert.match(natRefusal(older)!, /no TCX/);
    // A longer name that contains it is another one.
    const without = kernel('without', { vmlinux: ['nf_conntrack_insert', 'BPF_TCX_EGRESS'] });
    assert.match(natRefusal(without)!, /load module nf_conntrack/);
  });

  it('finds conntrack when its module is loaded later', () => {
    const path = kernel('module', { vmlinux: ['BPF_TCX_EGRESS'] });
    assert.match(natRefusal(path)!, /load module nf_conntrack/);
    writeFileSync(join(path, 'nf_conntrack'), '\0nf_conntrack_in\0');
    assert.equal(natRefusal(path), undefined);
  });
});
