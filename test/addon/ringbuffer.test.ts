import assert from 'node:assert/strict';
import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises';
import { BpfObject, RingBuffer } from '#addon';
import { addonUrl, compile, run, u32 } from './support.ts';

/** basic.bpf.c, whose count_tc reports the first eight bytes of each packet. */
function source() {
  const object = new BpfObject(compile('basic'));
  object.load();
  const program = object.program('count_tc');
  const perCpu = (index: number) => {
    const value = new BigUint64Array(object.map('counts').lookup(u32(index))!.buffer);
    return Number(value.reduce((sum, n) => sum + n, 0n));
  };
  return {
    events: object.map('events'),
    send: (first: number, repeat = 1) => {
      const data = new Uint8Array(64);
      data.set(u32(first));
      program.testRun({ data, repeat });
    },
    sent: () => perCpu(0),
    lost: () => perCpu(1),
  };
}

async function until(condition: () => boolean, what: string): Promise<void> {
  for (let waited = 0; !condition(); waited += 5) {
    assert.ok(waited < 10_000, what);
    await delay(5);
  }
}

describe('addon: ring buffer', () => {
  it('delivers records whole and in order', async () => {
    const { events, send } = source();
    const seen: number[] = [];
    const ring = new RingBuffer(events, (records) => {
      for (const record of records) {
        assert.equal(record.length, 8);
        seen.push(new DataView(record.buffer, record.byteOffset).getUint32(0, true));
      }
    });
    for (let i = 0; i < 1000; i++) send(i);
    await until(() => seen.length >= 1000, `${seen.length} of 1000`);
    ring.close();
    assert.deepEqual(
      seen,
      Array.from({ length: 1000 }, (_, i) => i),
    );
  });

  it('delivers what was there before it was opened', async () => {
    const { events, send } = source();
    send(1, 5);
    let seen = 0;
    const ring = new RingBuffer(events, (records) => {
      seen += records.length;
    });
    await until(() => seen === 5, `${seen} of 5`);
    ring.close();
  });

  it('delivers 400,000 records under load, none lost while there is room', async () => {
    const { events, send, lost } = source();
    let seen = 0;
    let batches = 0;
    const ring = new RingBuffer(events, (records) => {
      seen += records.length;
      batches++;
    });
    const total = 400_000;
    for (let sent = 0; sent < total; sent += 4000) {
      send(sent, 4000);
      await until(() => sent - seen < 4000, `${seen} of ${sent}`);
    }
    await until(() => seen >= total, `${seen} of ${total}`);
    ring.close();
    assert.deepEqual([seen, lost()], [total, 0]);
    assert.ok(batches < total / 10, `${batches} batches`);
  });

  it('a slow receiver loses records, counted by the program, and nothing stalls', async () => {
    const { events, send, sent, lost } = source();
    let seen = 0;
    const ring = new RingBuffer(events, (records) => {
      seen += records.length;
    });
    // No turn of the event loop in between: nothing is taken.
    for (let i = 0; i < 20; i++) send(i, 10_000);
    assert.equal(sent(), 200_000);
    assert.ok(lost() > 0);
    await until(() => seen + lost() === sent(), `${seen} + ${lost()} of ${sent()}`);
    ring.close();
  });

  it('delivers nothing after close(), which works inside the callback and twice', async () => {
    const { events, send } = source();
    let calls = 0;
    const ring = new RingBuffer(events, () => {
      calls++;
      ring.close();
      ring.close();
    });
    send(1);
    await until(() => calls === 1, 'no call');
    send(2, 10);
    await delay(30);
    assert.equal(calls, 1);

    const other = new RingBuffer(events, () => {
      calls++;
    });
    send(3, 10);
    other.close();
    await turn();
    await delay(30);
    assert.equal(calls, 1);
  });

  it('closes while its thread waits for a slow receiver', () => {
    const { events, send } = source();
    for (let i = 0; i < 20; i++) {
      const ring = new RingBuffer(events, () => {});
      send(i, 10_000);
      ring.close();
    }
  });

  it('refuses what is no ring buffer', () => {
    const object = new BpfObject(compile('basic'));
    object.load();
    assert.throws(() => new RingBuffer(object.map('rows'), () => {}), {
      name: 'TypeError',
      message: /RINGBUF/,
    });
    assert.throws(() => new RingBuffer(object.map('events'), undefined as never), { name: 'TypeError' });
    assert.throws(() => new RingBuffer({} as never, () => {}), { name: 'TypeError', message: /BpfMap/ });
  });

  it('an exception of the receiver is an uncaught one, and delivery goes on', async () => {
    const script = `
      const { BpfObject, RingBuffer } = await import(${JSON.stringify(addonUrl)});
      const object = new BpfObject(Buffer.from(process.env.ELF, 'base64'));
      object.load();
      const send = () => object.program('count_tc').testRun({ data: new Uint8Array(64) });
      let calls = 0;
      process.on('uncaughtException', (error) => { console.log('caught', error.message); send(); });
      const ring = new RingBuffer(object.map('events'), () => {
        if (++calls === 1) throw new Error('mine');
        console.log('second call');
        ring.close();
      });
      send();`;
    const env = { ELF: Buffer.from(compile('basic')).toString('base64') };
    const result = await run(process.execPath, ['--input-type=module', '-e', script], env);
    assert.deepEqual(
      [result.stdout, result.code, result.signal],
      ['caught mine\nsecond call\n', 0, null],
      result.stderr,
    );
  });

  it('an exception that nobody catches ends the process as in any callback', async () => {
    const script = `
      const { BpfObject, RingBuffer } = await import(${JSON.stringify(addonUrl)});
      const object = new BpfObject(Buffer.from(process.env.ELF, 'base64'));
      object.load();
      new RingBuffer(object.map('events'), () => { throw new Error('nobody catches'); });
      object.program('count_tc').testRun({ data: new Uint8Array(64) });`;
    const env = { ELF: Buffer.from(compile('basic')).toString('base64') };
    const result = await run(process.execPath, ['--input-type=module', '-e', script], env);
    assert.equal(result.signal, null);
    assert.equal(result.code, 1);
    assert.match(result.stderr, /Error: nobody catches/);
  });
});
