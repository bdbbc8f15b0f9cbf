/** `counters --watch`, with counters that move. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BpfMap, BpfObject, possibleCpus } from '#addon';
import { Abi, Program, Reason } from '../../src/agent/datapath/abi.ts';
import { bytes, U32 } from '../../src/agent/datapath/tables.ts';
import { type Counters, perSecond } from '../../src/cli/inspect/counters.ts';
import { start } from './harness.ts';

const MAPS = `maps-${Abi.VERSION}`;

describe('CLI: counters per second', () => {
  const directory = mkdtempSync(join(tmpdir(), 'fistpath-cli-watch-'));
  let object: BpfObject;
  let counters: BpfMap;

  before(() => {
    execFileSync('mount', ['-t', 'bpf', 'bpf', directory]);
    mkdirSync(join(directory, MAPS));
    object = new BpfObject(readFileSync(new URL('../../bpf/out/port.bpf.o', import.meta.url)), {
      pinDirectory: join(directory, MAPS),
    });
    for (const map of ['fdb', 'ports', 'members', 'port_counters', 'usage', 'flows'])
      object.setMaxEntries(map, 16);
    object.load();
    counters = BpfMap.open(join(directory, MAPS, 'counters'));
  });
  after(() => {
    counters?.close();
    object?.close();
    execFileSync('umount', [directory]);
    rmSync(directory, { recursive: true });
  });

  const count = (reason: number, packets: bigint) => {
    const values = Array.from({ length: possibleCpus }, () => [packets, 60n * packets]).flat();
    counters.update(
      bytes(U32, Program.UNDERLAY * Reason.MAX + reason),
      new Uint8Array(new BigUint64Array(values).buffer),
    );
  };

  it('shows what moves until it is interrupted', async () => {
    let packets = 0n;
    count(Reason.UNTRUSTED_SOURCE, 7n);
    const traffic = setInterval(() => {
      packets += 100n;
      count(Reason.TO_PORT, packets);
    }, 20);
    const child = start(['counters', '--watch', '1', '--simple', '--bpf-directory', directory]);
    try {
      let text = '';
      const ended = new Promise<NodeJS.Signals | null>((resolve) =>
        child.on('close', (_code, signal) => resolve(signal)),
      );
      await new Promise<void>((resolve, reject) => {
        child.stdout!.on('data', (chunk: Buffer) => {
          text += chunk.toString();
          if (text.split(': per second').length > 2) resolve();
        });
        child.on('close', () => reject(new Error(`ended too soon: ${text}`)));
      });
      child.kill('SIGINT');
      assert.equal(await ended, 'SIGINT');
      const [, rate, byteRate] = /^underlay,port,to port,([0-9]+),([0-9]+)$/m.exec(text)!.map(Number);
      // 100 packets on each CPU every 20 ms; a busy machine manages fewer.
      assert.ok(rate! > 0 && rate! <= 6000 * possibleCpus, `${rate} packets/s`);
      assert.ok(Math.abs(byteRate! / rate! - 60) < 1, `${byteRate} bytes/s in ${rate} packets/s`);
      assert.doesNotMatch(text, /untrusted source/, 'what stands still is left out');
    } finally {
      clearInterval(traffic);
      child.kill('SIGKILL');
    }
  });

  it('divides by the time that has passed, row by row', () => {
    const traffic = (n: number) => ({ packets: n, bytes: 60 * n });
    const reading = (n: number): Counters => ({
      programs: [
        { program: 'port', verdict: 'tunnel', reason: 'to tunnel', ...traffic(n) },
        { program: 'port', verdict: 'kernel', reason: 'unknown mac', ...traffic(5) },
      ],
      ports: [
        {
          device: 'p-1',
          vni: 2,
          network: 'demonet',
          interface: null,
          instance: null,
          sent: {
            port: traffic(0),
            tunnel: traffic(n),
            uplink: traffic(0),
            router: traffic(0),
            kernel: traffic(5),
            drop: traffic(0),
          },
          received: traffic(2 * n),
        },
      ],
      events: [{ reason: 'spoofed mac', suppressed: n, lost: 0 }],
    });
    const rates = perSecond(reading(100), reading(150), 2.5, false);
    assert.deepEqual(rates.programs, [
      { program: 'port', verdict: 'tunnel', reason: 'to tunnel', ...traffic(20) },
    ]);
    assert.deepEqual(rates.ports[0]!.sent.tunnel, traffic(20));
    assert.deepEqual(rates.ports[0]!.received, traffic(40));
    assert.deepEqual(rates.ports[0]!.sent.kernel, traffic(0));
    assert.deepEqual(rates.events, [{ reason: 'spoofed mac', suppressed: 20, lost: 0 }]);
    assert.equal(perSecond(reading(1), reading(1), 1, true).programs.length, 2);
    assert.deepEqual(perSecond(reading(1), reading(1), 1, false), { programs: [], ports: [], events: [] });
  });
});
