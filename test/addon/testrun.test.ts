import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { BpfObject } from '#addon';
import { compile, u32 } from './support.ts';

describe('addon: test run', () => {
  const object = new BpfObject(compile('basic'));
  before(() => object.load());
  after(() => object.close());

  it('returns the packet, the context and a signed result', () => {
    const data = Uint8Array.from({ length: 64 }, (_, i) => i);
    const context = new Uint8Array(192);
    context.set(u32(5), 48); // __sk_buff.cb[0]
    const result = object.program('grow').testRun({ data, context });
    assert.equal(result.retval, 0);
    assert.deepEqual(result.data, new Uint8Array([...data, 0, 0, 0, 0]));
    assert.deepEqual(result.context.subarray(8, 12), u32(42)); // mark
    assert.deepEqual(result.context.subarray(48, 52), u32(6));
    assert.equal(object.program('count_tc').testRun({ data }).retval, -1);
  });

  it('has no context without one', () => {
    assert.equal(object.program('grow').testRun({ data: new Uint8Array(64) }).context.length, 0);
  });

  it('measures over repetitions', () => {
    const { duration } = object.program('drop_xdp').testRun({ data: new Uint8Array(64), repeat: 100_000 });
    assert.ok(duration >= 0 && duration < 100_000, `${duration} ns`);
  });

  it('is not cut short by a child process that ends meanwhile', () => {
    // A listener of 'exit' makes Node handle SIGCHLD.
    const child = spawn('sleep', ['0.05']).on('exit', () => {});
    const start = Date.now();
    let runs = 0;
    for (; Date.now() - start < 200; runs++) {
      object.program('drop_xdp').testRun({ data: new Uint8Array(64), repeat: 5_000_000 });
    }
    assert.ok(runs > 0);
    child.kill('SIGKILL');
  });

  it('reports the kernel: too short a packet', () => {
    assert.throws(() => object.program('grow').testRun({ data: new Uint8Array(13) }), {
      code: 'EINVAL',
      syscall: 'bpf_prog_test_run',
    });
  });

  it('refuses live frames for a program that is not XDP', () => {
    const run = () => object.program('grow').testRun({ data: new Uint8Array(64), liveFrames: true });
    assert.throws(run, { code: 'EINVAL' });
  });

  it('runs asynchronously, with its own copy of the packet', async () => {
    const data = new Uint8Array(64).fill(7);
    const promise = object.program('grow').testRunAsync({ data });
    data.fill(1);
    assert.deepEqual((await promise).data.subarray(0, 64), new Uint8Array(64).fill(7));
  });

  it('sends live frames', async () => {
    const program = object.program('drop_xdp');
    const result = await program.testRunAsync({ data: new Uint8Array(64), liveFrames: true, repeat: 1000 });
    assert.equal(result.data.length, 0);
    await program.testRunAsync({ data: new Uint8Array(64), liveFrames: true, repeat: 1000, batchSize: 256 });
  });

  it('is independent of close()', async () => {
    const program = object.program('drop_xdp');
    const promise = program.testRunAsync({ data: new Uint8Array(64), repeat: 100_000 });
    program.close();
    assert.equal((await promise).retval, 1);
  });

  for (const liveFrames of [true, false]) {
    it(`ends early on abort, ${liveFrames ? 'live frames' : 'repetitions'}`, async () => {
      const program = object.program('drop_xdp');
      for (const delay of [0, 0, 1, 2, 5, 20]) {
        const controller = new AbortController();
        const options = { data: new Uint8Array(64), liveFrames, repeat: 2 ** 31 - 1 };
        const promise = program.testRunAsync(options, controller.signal);
        let aborted = 0;
        setTimeout(() => {
          aborted = Date.now();
          controller.abort(new Error('enough'));
        }, delay);
        await assert.rejects(promise, (error: Error & { code: string }) => {
          assert.equal(error.name, 'AbortError');
          assert.equal(error.code, 'ABORT_ERR');
          assert.equal((error.cause as Error).message, 'enough');
          return true;
        });
        assert.ok(Date.now() - aborted < 1000, `ended ${Date.now() - aborted} ms later`);
      }
    });
  }

  it('does not start when it is aborted already, and ignores an abort afterwards', async () => {
    const program = object.program('drop_xdp');
    const run = program.testRunAsync({ data: new Uint8Array(64) }, AbortSignal.abort());
    await assert.rejects(run, { name: 'AbortError' });
    const controller = new AbortController();
    assert.equal((await program.testRunAsync({ data: new Uint8Array(64) }, controller.signal)).retval, 1);
    controller.abort();
  });

  it('aborts at once when the abort comes in the same turn', async () => {
    const controller = new AbortController();
    const options = { data: new Uint8Array(64), liveFrames: true, repeat: 2 ** 31 - 1 };
    const promise = object.program('drop_xdp').testRunAsync(options, controller.signal);
    controller.abort();
    await assert.rejects(promise, { name: 'AbortError' });
  });
});
