import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readSettings } from '../../src/cli/settings.ts';

describe('CLI: settings', () => {
  const directory = mkdtempSync(join(tmpdir(), 'fistpath-cli-settings-'));
  const socket = join(directory, 'api.sock');
  const config = join(directory, 'fistpathd.json');
  const write = (listen: object) => {
    writeFileSync(join(directory, 'key'), 'boot\n');
    const file = {
      node: 'sf-9',
      bpf_directory: '/b',
      state_directory: '/s',
      bootstrap_key_file: join(directory, 'key'),
      listen,
    };
    writeFileSync(config, JSON.stringify(file));
  };

  after(() => rmSync(directory, { recursive: true }));

  it('prefers options to FISTPATH_, that to SHAKENFIST_, that to the configuration', () => {
    write({ rest: '0.0.0.0:14000', unix: '/nonexistent' });
    const env: NodeJS.ProcessEnv = { FISTPATH_CONFIG: config };
    const fromConfig = readSettings({}, env);
    assert.equal(fromConfig.apiUrl, 'http://localhost:14000');
    assert.deepEqual(
      [fromConfig.bpfDirectory, fromConfig.stateDirectory, fromConfig.node],
      ['/b', '/s', 'sf-9'],
    );
    assert.deepEqual([fromConfig.namespace, fromConfig.key()], ['system', 'boot']);
    Object.assign(env, {
      SHAKENFIST_API_URL: 'http://old:1',
      SHAKENFIST_NAMESPACE: 'old',
      SHAKENFIST_KEY: 'k1',
    });
    const old = readSettings({}, env);
    assert.deepEqual([old.apiUrl, old.namespace, old.key()], ['http://old:1', 'old', 'k1']);
    Object.assign(env, { FISTPATH_API_URL: 'http://new:1', FISTPATH_NAMESPACE: 'new', FISTPATH_KEY: 'k2' });
    const ours = readSettings({}, env);
    assert.deepEqual([ours.apiUrl, ours.namespace, ours.key()], ['http://new:1', 'new', 'k2']);
    const options = readSettings(
      { apiUrl: 'http://o:1', as: 'o', bpfDirectory: '/x', stateDirectory: '/y', simple: true },
      env,
    );
    assert.deepEqual(
      [options.apiUrl, options.namespace, options.bpfDirectory, options.stateDirectory],
      ['http://o:1', 'o', '/x', '/y'],
    );
    assert.equal(options.output, 'simple');
  });

  it('takes the unix socket when it is there', async () => {
    write({ unix: socket });
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(socket, resolve));
    assert.equal(readSettings({ config }, {}).apiUrl, `unix:${socket}`);
    await new Promise((resolve) => server.close(resolve));
    assert.equal(readSettings({ config }, {}).apiUrl, 'http://localhost:13000');
  });

  it('says what is missing', () => {
    assert.throws(
      () => readSettings({ config: '/nonexistent.json' }, {}),
      /cannot read the daemon's configuration \/nonexistent.json/,
    );
    assert.throws(
      () => readSettings({ as: 'tenant', config }, {}).key(),
      /no key for namespace tenant: set FISTPATH_KEY/,
    );
  });
});
