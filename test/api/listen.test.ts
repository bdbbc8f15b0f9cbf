import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { FastifyInstance } from 'fastify';
import { listen } from '../../src/api/listen.ts';
import { bytesThrough, call } from './call.ts';
import { faultyServer } from './faulty.ts';

const LOOPBACK = { host: '127.0.0.1', port: 0 };

describe('listening', () => {
  let directory: string;
  let path: string;
  const apps: FastifyInstance[] = [];

  async function fresh(limits: Parameters<typeof faultyServer>[1] = {}) {
    const made = await faultyServer({ listNodes: async () => [] }, limits);
    apps.push(made.app);
    return made;
  }

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'fistpath-listen-'));
    path = join(directory, 'run', 'api.sock');
  });
  afterEach(async () => {
    await Promise.all(apps.splice(0).map((app) => app.close()));
    rmSync(directory, { recursive: true });
  });

  it('answers on TCP and on a unix socket, both with tokens, and closes both', async () => {
    const { app, headers } = await fresh();
    const [port, none] = await listen(app, [LOOPBACK, { path }]);
    assert.equal(none, 0);
    for (const door of [{ port }, { socketPath: path }]) {
      const good = await call(door, 'GET', '/nodes', undefined, headers);
      assert.deepEqual([good.status, good.json], [200, []]);
      const bad = await call(door, 'GET', '/nodes');
      assert.equal(bad.status, 401);
    }
    await app.close();
    assert.equal(existsSync(path), false);
    for (const door of [{ port }, { socketPath: path }]) {
      await assert.rejects(call(door, 'GET', '/healthz'), /ECONNREFUSED|ENOENT/);
    }
  });

  it('answers on a unix socket alone', async () => {
    const { app } = await fresh();
    await listen(app, [{ path }]);
    assert.equal((await call({ socketPath: path }, 'GET', '/healthz')).status, 200);
    await app.close();
    assert.equal(existsSync(path), false);
  });

  it('the socket is for owner and group only', async () => {
    const before = process.umask();
    const { app } = await fresh();
    await listen(app, [LOOPBACK, { path }]);
    assert.equal((statSync(path).mode & 0o777).toString(8), '660');
    assert.equal(process.umask(), before);
  });

  it('replaces the socket file of a dead daemon', async () => {
    mkdirSync(dirname(path));
    const made = spawnSync('python3', [
      '-c',
      `import socket; s = socket.socket(socket.AF_UNIX); s.bind(${JSON.stringify(path)})`,
    ]);
    assert.equal(made.status, 0, String(made.stderr));
    assert.equal(existsSync(path), true);
    const { app } = await fresh();
    await listen(app, [{ path }]);
    assert.equal((await call({ socketPath: path }, 'GET', '/healthz')).status, 200);
  });

  it('refuses a socket that somebody answers on, and leaves it alone', async () => {
    const { app: first } = await fresh();
    await listen(first, [{ path }]);
    const { app: second } = await fresh();
    await assert.rejects(listen(second, [LOOPBACK, { path }]), /another daemon already answers there/);
    assert.equal((await call({ socketPath: path }, 'GET', '/healthz')).status, 200);
  });

  it('refuses to replace a file that is no socket', async () => {
    writeFileSync(join(directory, 'file'), 'precious');
    const { app } = await fresh();
    await assert.rejects(listen(app, [{ path: join(directory, 'file') }]), /is no socket/);
    assert.equal(statSync(join(directory, 'file')).size, 8);
  });

  it('says which TCP address is taken, and leaves nothing open', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => taken.once('listening', resolve));
    const { port } = taken.address() as { port: number };
    const { app } = await fresh();
    await assert.rejects(
      listen(app, [{ path }, { host: '127.0.0.1', port }]),
      new RegExp(`cannot listen on 127.0.0.1:${port}: the address is in use`),
    );
    assert.equal(existsSync(path), false);
    taken.close();
  });

  it('bounds headers and slow requests at both doors', async () => {
    const { app } = await fresh({ headerBytes: 4096, arrivalMilliseconds: 500 });
    const [port] = await listen(app, [LOOPBACK, { path }]);
    for (const door of [{ port }, { socketPath: path }]) {
      const long = await bytesThrough(
        door,
        `GET /healthz HTTP/1.1\r\nHost: x\r\nX: ${'a'.repeat(8192)}\r\n\r\n`,
      );
      assert.match(long, /^HTTP\/1\.1 431 /);
      assert.match(long, /\{"error":"the request headers are too large","status":431\}$/);
      const slow = await bytesThrough(door, 'POST /auth HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{');
      assert.match(
        slow,
        /^HTTP\/1\.1 408 [\s\S]*\{"error":"the request did not arrive in time","status":408\}$/,
      );
      const garbage = await bytesThrough(door, 'no HTTP at all\r\n\r\n');
      assert.match(
        garbage,
        /^HTTP\/1\.1 400 [\s\S]*\{"error":"this is not a valid HTTP request","status":400\}$/,
      );
    }
  });

  it('counts all callers of the unix socket together against the limit', async () => {
    const { app, headers } = await fresh({ requestsPerSecond: 3 });
    await listen(app, [{ path }]);
    const answers = await Promise.all(
      Array.from({ length: 8 }, () => call({ socketPath: path }, 'GET', '/nodes', undefined, headers)),
    );
    const refused = answers.filter((answer) => answer.status === 429);
    assert.ok(refused.length >= 4, String(refused.length));
    assert.match(refused[0]?.json.error as string, /^more than 3 requests: try again in 1 second$/);
    assert.equal(refused[0]?.json.status, 429);
  });

  it('a directory that cannot be used is an error with the path in it', async () => {
    writeFileSync(join(directory, 'run'), '');
    const { app } = await fresh();
    await assert.rejects(listen(app, [{ path }]), /EEXIST|ENOTDIR|cannot listen/);
  });
});
