/** What happens when something is wrong: exit codes, one line on stderr, no stack traces, clean pipes. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import type { Command } from 'commander';
import { ApiClient } from '../../src/cli/api-client.ts';
import { createProgram } from '../../src/cli/program.ts';
import { readSettings } from '../../src/cli/settings.ts';
import { fistpath, type Result, StandIn, start } from './harness.ts';

function assertFailed(result: Result, code: number, message: RegExp): void {
  assert.match(result.stderr, /^fistpath: [^\n]+\n$/, 'one line on stderr');
  assert.match(result.stderr, message);
  assert.equal(result.code, code, result.stderr);
  assert.equal(result.stdout, '');
}

describe('CLI: failures', () => {
  const api = new StandIn();
  const run = (args: string[], env: Record<string, string> = {}) =>
    fistpath(args, { env: { FISTPATH_API_URL: api.url, ...env } });

  before(() => api.listen());
  after(() => api.close());

  it('usage errors end with 2 and say where to look', async () => {
    api.answer(() => undefined);
    const cases: [string[], RegExp][] = [
      [['network', 'create', 'one', 'two'], /neither one nor two is a netblock/],
      [
        ['network', 'create', '10.0.0.0/24', '10.1.0.0/24'],
        /both 10.0.0.0\/24 and 10.1.0.0\/24 are netblocks/,
      ],
      [
        ['network', 'create', 'one'],
        /missing required argument 'netblock'; see fistpath network create --help/,
      ],
      [['network', 'shw', 'x'], /unknown command 'shw' \(Did you mean show\?\); see fistpath network --help/],
      [['network', 'list', '--nope'], /unknown option '--nope'; see fistpath network list --help/],
      [['network', 'list', '--json', '--simple'], /'--json' cannot be used with option '--simple'/],
      [
        ['instance', 'create', 'i', 'many', '1024'],
        /'many' is invalid for argument 'cpus'. It must be a whole number from 1 up/,
      ],
      [['instance', 'create', 'i', '1', '1024', '-d', 'big@cirros'], /Give SIZE or SIZE@BASE/],
      [['instance', 'create', 'i', '1', '1024', '-n', 'net@'], /Give NETWORK or NETWORK@ADDRESS/],
      [['instance', 'create', 'i', '1', '1024', '-N', 'address=10.0.0.1'], /network_uuid is missing/],
      [
        ['instance', 'create', 'i', '1', '1024', '-N', 'network_uuid=a,x=1'],
        /fields are network_uuid, address/,
      ],
      [['node', 'datapath', 'sf-1', 'both'], /Allowed choices are ebpf, kernel/],
      [['network', 'create', 'a', '10.0.0.0/24', '--vxid', '16777216'], /from 1 to 16777215/],
    ];
    const results = await Promise.all(cases.map(([args]) => run(args)));
    for (const [i, [, message]] of cases.entries()) assertFailed(results[i]!, 2, message);
    assert.equal(api.requests.length, 0, 'nothing was asked of the API');
  });

  it('the API’s answers become exit codes, with what failed and why', async () => {
    const statuses: [number, number][] = [
      [400, 2],
      [401, 1],
      [403, 1],
      [404, 3],
      [406, 1],
      [409, 4],
      [500, 1],
      [507, 1],
    ];
    api.answer(({ path }) => {
      const status = Number(path.split('/').at(-1));
      return { status, body: { error: `reason ${status}\n  in two lines`, status } };
    });
    const results = await Promise.all(statuses.map(([status]) => run(['network', 'delete', String(status)])));
    for (const [i, [status, code]] of statuses.entries()) {
      const reason = new RegExp(`: cannot delete network ${status}: reason ${status} in two lines$`, 'm');
      assertFailed(results[i]!, code, reason);
    }
  });

  it('an answer that is no JSON, and a wrong key', async () => {
    api.answer(() => ({ status: 502, body: '<html>bad gateway</html>' }));
    const [html, key, none] = await Promise.all([
      run(['network', 'list']),
      run(['network', 'list'], { FISTPATH_KEY: 'wrong' }),
      fistpath(['network', 'list', '--as', 'elsewhere', '--api-url', 'ftp://x']),
    ]);
    assertFailed(html, 1, /cannot list networks: .* answered 502 and no JSON: is it a fistpath API\?/);
    assertFailed(key, 1, /refuses the key of namespace system: check FISTPATH_NAMESPACE and FISTPATH_KEY/);
    assertFailed(none, 2, /ftp:\/\/x is no API address: give http:/);
  });

  it('nobody at the API’s address', async () => {
    const closing = createServer((socket) => socket.destroy()).listen(0, '127.0.0.1');
    await once(closing, 'listening');
    const { port } = closing.address() as AddressInfo;
    const [refused, absent, closed] = await Promise.all([
      fistpath(['network', 'show', 'demonet'], { env: { FISTPATH_API_URL: 'http://127.0.0.1:1' } }),
      fistpath(['node', 'list'], { env: { FISTPATH_API_URL: 'unix:/nonexistent/api.sock' } }),
      fistpath(['node', 'list'], { env: { FISTPATH_API_URL: `http://127.0.0.1:${port}` } }),
    ]);
    closing.close();
    assertFailed(
      refused,
      1,
      /cannot show network demonet: no API at http:\/\/127.0.0.1:1 \(connection refused\): is fistpathd running there\?/,
    );
    assertFailed(absent, 1, /no API at unix:\/nonexistent\/api.sock \(there is no such socket\)/);
    assertFailed(closed, 1, /\(the connection was closed\)/);
  });

  it('a token that expires is renewed once', async () => {
    api.answer(() => ({ body: [] }));
    const settings = readSettings({ apiUrl: api.url }, { FISTPATH_KEY: 'secret' });
    const client = new ApiClient(settings);
    assert.deepEqual(await client.request('list', 'GET', '/networks'), []);
    api.expireToken();
    assert.deepEqual(await client.request('list', 'GET', '/networks'), []);
    const asked = api.requests.map(({ path }) => path);
    assert.deepEqual(asked, ['/auth', '/networks', '/networks', '/auth', '/networks']);
    api.answer(() => ({ status: 401, body: { error: 'never', status: 401 } }));
    await assert.rejects(client.request('list', 'GET', '/networks'), /cannot list: never/);
    assert.equal(api.requests.filter(({ path }) => path === '/auth').length, 1, 'not more than once');
  });

  it('gives up on an API that does not answer', async () => {
    const mute = createServer(() => {}).listen(0, '127.0.0.1');
    await once(mute, 'listening');
    const { port } = mute.address() as AddressInfo;
    const settings = readSettings({ apiUrl: `http://127.0.0.1:${port}` }, { FISTPATH_KEY: 'secret' });
    await assert.rejects(new ApiClient(settings, 50).request('list', 'GET', '/'), /no answer in time/);
    mute.close();
  });

  it('a reader that goes away is no failure', async () => {
    api.answer(({ path }) =>
      path === '/nodes'
        ? { body: Array.from({ length: 5000 }, (_, i) => ({ name: `node-${i}`, lastseen: 0 })) }
        : undefined,
    );
    const child = start(['--json', 'node', 'list'], { env: { FISTPATH_API_URL: api.url } });
    let errors = '';
    child.stderr!.on('data', (chunk: Buffer) => {
      errors += chunk.toString();
    });
    child.stdout!.once('data', () => child.stdout!.destroy());
    const [code] = await once(child, 'close');
    assert.deepEqual([code, errors], [0, '']);
  });

  it('every command has help with examples, and help ends with 0', async () => {
    const paths: string[][] = [];
    const walk = (command: Command, path: string[]) => {
      paths.push(path);
      const shown = command.commands.filter((each) => !each.name().startsWith('_'));
      for (const each of shown) walk(each, [...path, each.name()]);
    };
    const program = createProgram();
    walk(program, []);
    assert.ok(paths.length > 20, `${paths.length} commands`);
    for (const path of paths) {
      let text = '';
      const fresh = createProgram();
      const capture = (command: Command): void => {
        command.configureOutput({
          writeOut: (chunk) => {
            text += chunk;
          },
        });
        for (const each of command.commands) capture(each);
      };
      capture(fresh);
      await assert.rejects(fresh.parseAsync([...path, '--help'], { from: 'user' }), { exitCode: 0 });
      assert.match(text, new RegExp(`Usage: fistpath ${path.join(' ')}`), path.join(' '));
      assert.match(text, /\nExamples:\n {2}\$ [^\n]*fistpath /, `examples of ${path.join(' ')}`);
    }
    const { code, stdout, stderr } = await run(['map', 'lookup', '--help']);
    assert.deepEqual([code, stderr], [0, '']);
    assert.match(stdout, /fistpath map lookup fdb vni=2 mac=02:00:00:aa:bb:cc/);
    const version = await run(['--version']);
    assert.match(version.stdout, /^\d+\.\d+\.\d+\n$/);
  });
});
