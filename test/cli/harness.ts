import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, statSync } from 'node:fs';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** The command line as it was built, when it was since its sources changed: from source it starts three times as slowly. */
const PROGRAM = isCurrent(join(ROOT, 'dist/src/cli/main.js'))
  ? [join(ROOT, 'dist/src/cli/main.js')]
  : ['--import', 'tsx', join(ROOT, 'src/cli/main.ts')];

function isCurrent(built: string): boolean {
  const since = statSync(built, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const sources = ['src', 'proto/gen'].flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true }),
  );
  return sources.every(
    (file) => !file.isFile() || statSync(join(file.parentPath, file.name)).mtimeMs <= since,
  );
}

export interface Result {
  code: number | null;
  stdout: string;
  stderr: string;
}

interface RunOptions {
  env?: Record<string, string>;
  /** A command that the program is started by: ['nsenter', '--net=…']. */
  by?: string[];
}

/** Nothing of the machine's own configuration leaks in. */
const CLEAN = {
  FISTPATH_API_URL: 'http://127.0.0.1:1',
  FISTPATH_NAMESPACE: 'system',
  FISTPATH_KEY: 'secret',
};

export function start(args: string[], { env = {}, by = [] }: RunOptions = {}): ChildProcess {
  const { PATH = '', HOME = '' } = process.env;
  const words = [...by, process.execPath, ...PROGRAM, ...args];
  // CI switches colours on in some libraries: it must not in ours, so the tests set it.
  return spawn(words[0]!, words.slice(1), { cwd: ROOT, env: { PATH, HOME, CI: '1', ...CLEAN, ...env } });
}

/** Runs the command line as a process of its own. */
export function fistpath(args: string[], options: RunOptions = {}): Promise<Result> {
  return new Promise((resolve, reject) => {
    const child = start(args, options);
    const texts = { stdout: '', stderr: '' };
    child.stdout!.on('data', (chunk: Buffer) => {
      texts.stdout += chunk.toString();
    });
    child.stderr!.on('data', (chunk: Buffer) => {
      texts.stderr += chunk.toString();
    });
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, ...texts }));
  });
}

export interface Request {
  method: string;
  path: string;
  body: unknown;
  token: string | undefined;
}

type Reply = { status?: number; body: unknown };
type Handler = (request: Request) => Reply | undefined;

/**
 * A stand-in for the API where a test needs answers that the real one can't be made to give: the document's own
 * uuids and times, expired tokens, broken answers. test/cli/real-api.test.ts uses the real API.
 */
export class StandIn {
  readonly requests: Request[] = [];
  readonly #server: Server;
  #handler: Handler = () => undefined;
  #tokens = 0;
  readonly #valid = new Set<string>();

  constructor() {
    this.#server = createServer((incoming, response) => {
      let text = '';
      incoming.on('data', (chunk: Buffer) => {
        text += chunk.toString();
      });
      incoming.on('end', () => {
        const body: unknown = text === '' ? undefined : JSON.parse(text);
        const token = incoming.headers.authorization?.replace('Bearer ', '');
        this.#answer({ method: incoming.method!, path: incoming.url!, body, token }, response);
      });
    });
  }

  async listen(socket?: string): Promise<void> {
    await new Promise<void>((resolve) => {
      if (socket === undefined) this.#server.listen(0, '127.0.0.1', resolve);
      else this.#server.listen(socket, resolve);
    });
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** What to answer from now on; undefined is a 404. */
  answer(handler: Handler): void {
    this.requests.length = 0;
    this.#handler = handler;
  }

  expireToken(): void {
    this.#valid.clear();
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #answer(request: Request, response: ServerResponse): void {
    this.requests.push(request);
    const send = ({ status = 200, body }: Reply) => {
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(typeof body === 'string' ? body : JSON.stringify(body));
    };
    send(this.#reply(request));
  }

  #reply(request: Request): Reply {
    if (request.path === '/auth') {
      const { key } = request.body as { key: string };
      if (key !== 'secret') return { status: 401, body: { error: 'wrong key', status: 401 } };
      const token = `token-${++this.#tokens}`;
      this.#valid.add(token);
      return { body: { access_token: token, token_type: 'Bearer', expires_in: 900 } };
    }
    if (!this.#valid.has(request.token ?? ''))
      return { status: 401, body: { error: 'token expired', status: 401 } };
    return (
      this.#handler(request) ?? {
        status: 404,
        body: { error: `no such object: ${request.path}`, status: 404 },
      }
    );
  }
}
