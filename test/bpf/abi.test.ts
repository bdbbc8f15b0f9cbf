import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { BpfObject } from '#addon';
import { generate } from '../../bpf/generate-abi.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

describe('abi.ts', () => {
  it("says what bpf/abi.h's BTF says", () => {
    const object = new BpfObject(readFileSync(`${ROOT}bpf/out/abi.bpf.o`));
    const text = generate(object.btf());
    object.close();
    const formatted = execFileSync(
      `${ROOT}node_modules/.bin/biome`,
      ['format', '--stdin-file-path=src/agent/datapath/abi.ts'],
      { input: text, encoding: 'utf8', cwd: ROOT, stdio: ['pipe', 'pipe', 'ignore'] },
    );
    assert.equal(readFileSync(`${ROOT}src/agent/datapath/abi.ts`, 'utf8'), formatted, 'run `npm run abi`');
  });
});
