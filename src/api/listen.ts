// One HTTP server behind several doors. Node's server listens at one address; the other listeners hand it their
// connections, so that timeouts, limits and closing are the same for all.
import { lstatSync, mkdirSync, unlinkSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { dirname } from 'node:path';
import type { FastifyInstance } from 'fastify';

export type Address = { host: string; port: number } | { path: string };

/** Owner and group of a unix socket may connect, others not. */
const SOCKET_UMASK = 0o117;

function describe(address: Address): string {
  return 'path' in address ? address.path : `${address.host}:${address.port}`;
}

/** Removes a socket file that nobody listens on any more. Throws when somebody does, or when it is another kind of file. */
async function clearSocketFile(path: string): Promise<void> {
  const file = lstatSync(path, { throwIfNoEntry: false });
  if (file === undefined) return;
  if (!file.isSocket()) throw new Error(`cannot listen on ${path}: it exists and is no socket; move it away`);
  const problem = await new Promise<string | undefined>((resolve) => {
    const socket = connect(path);
    socket.on('connect', () => {
      socket.destroy();
      resolve(undefined);
    });
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code));
  });
  if (problem === undefined)
    throw new Error(`cannot listen on ${path}: another daemon already answers there`);
  if (problem !== 'ECONNREFUSED' && problem !== 'ENOENT') {
    throw new Error(`cannot listen on ${path}: the socket there cannot be tried (${problem})`);
  }
  unlinkSync(path);
}

/** Binds `server`; the mode of a socket file is right from its first moment. */
async function bind(server: Server, address: Address): Promise<void> {
  if ('path' in address) {
    mkdirSync(dirname(address.path), { recursive: true });
    await clearSocketFile(address.path);
  }
  await new Promise<void>((resolve, reject) => {
    const failed = (error: NodeJS.ErrnoException): void => {
      const why =
        error.code === 'EADDRINUSE' ? 'the address is in use; does another daemon run?' : error.message;
      reject(new Error(`cannot listen on ${describe(address)}: ${why}`));
    };
    server.once('error', failed);
    const listening = (): void => {
      server.off('error', failed);
      resolve();
    };
    if (!('path' in address)) {
      server.listen(address, listening);
      return;
    }
    const umask = process.umask(SOCKET_UMASK);
    try {
      server.listen(address, listening);
    } finally {
      process.umask(umask);
    }
  });
}

/**
 * Opens the API at every address given and returns the ports in the same order (0 for a unix socket). A stale socket
 * file is replaced; one that somebody answers on is an error. `app.close()` closes them all. On failure nothing
 * stays open.
 */
export async function listen(app: FastifyInstance, addresses: Address[]): Promise<number[]> {
  const servers = addresses.map((_address, index): Server => {
    if (index === 0) return app.server;
    return createServer((socket) => app.server.emit('connection', socket));
  });
  app.addHook('preClose', async () => {
    await Promise.all(
      servers.slice(1).map((server) => new Promise<void>((resolve) => server.close(() => resolve()))),
    );
  });
  try {
    await app.ready();
    for (const [index, address] of addresses.entries()) await bind(servers[index] as Server, address);
  } catch (error) {
    await app.close();
    throw error;
  }
  return servers.map((server) => {
    const bound = server.address();
    return typeof bound === 'object' && bound !== null ? bound.port : 0;
  });
}
