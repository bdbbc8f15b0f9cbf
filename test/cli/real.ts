/** The real API over the real controller and store. Its nodes have no agents, and are not missed for it. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { fistpath } from '#proto';
import { listen } from '../../src/api/listen.ts';
import { createServer } from '../../src/api/server.ts';
import { openController } from '../../src/controller/open.ts';
import { encodeRecord } from '../../src/records/codec.ts';
import { recordKey } from '../../src/records/keys.ts';
import { openEmbeddedStore } from '../../src/store/embedded.ts';

export const KEY = 'the first key of namespace system';

/** Nodes sf-1 (network node), sf-2 and sf-3, 10.2.1.11 to 13, and sf-lost, which is missing. */
export async function serveReal(): Promise<{ socket: string; close(): Promise<void> }> {
  const directory = mkdtempSync(join(tmpdir(), 'fistpath-cli-api-'));
  const store = await openEmbeddedStore(join(directory, 'store'));
  const nodes = ['sf-1', 'sf-2', 'sf-3', 'sf-lost'].map((name, index) =>
    fistpath.Node.create({
      name,
      address: `10.2.1.${11 + index}`,
      lastSeen: Date.now() / 1000,
      state: name === 'sf-lost' ? fistpath.State.MISSING : fistpath.State.CREATED,
      networkNode: index === 0,
      hypervisor: true,
      underlayMtu: 9000,
      release: '0.1.0',
      datapath: 'ebpf',
    }),
  );
  const puts = nodes.map((node) => ({
    put: recordKey('node', node.name),
    value: encodeRecord('node', node),
  }));
  await store.transaction([], puts);
  const log = pino({ level: 'silent' });
  const controller = await openController({
    store,
    floatingPool: '10.10.0.0/24',
    bootstrapKey: KEY,
    nodeName: 'sf-1',
    log,
    missingAfterSeconds: 3600,
  });
  const { operations } = controller;
  const api = await createServer({ operations, log, tokenSecret: 'a secret of thirty-two bytes or more' });
  const socket = join(directory, 'api.sock');
  await listen(api, [{ path: socket }]);
  return {
    socket,
    async close() {
      await api.close();
      await controller.close();
      await store.close();
      rmSync(directory, { recursive: true });
    },
  };
}
