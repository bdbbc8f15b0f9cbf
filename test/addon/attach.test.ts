import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { scenarios } from './attach.inside.ts';
import { run } from './support.ts';

describe('addon: attachments', () => {
  const results = new Map<string, { error?: string }>();

  before(async () => {
    const file = fileURLToPath(import.meta.resolve('./attach.inside.ts'));
    const node = [process.execPath, '--import', 'tsx', file];
    const { stdout, stderr, code } = await run('unshare', ['--net', '--mount', ...node]);
    assert.equal(code, 0, stderr);
    for (const line of stdout.trim().split('\n')) {
      const result = JSON.parse(line);
      results.set(result.name, result);
    }
  });

  for (const name of Object.keys(scenarios)) {
    it(name, () => {
      const result = results.get(name);
      assert.ok(result, 'it ran');
      assert.equal(result.error, undefined);
    });
  }
});
