import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Node } from './node.ts';
import type { Guest } from './samples.ts';

const TALK = fileURLToPath(new URL('./talk.py', import.meta.url));
export const FTP = fileURLToPath(new URL('../../lab/ftp.py', import.meta.url));
const PYTHON = '/usr/bin/python3';

/** A node, or a named namespace of it. */
export interface Where {
  node: Node;
  namespace?: string;
}

export const at = (node: Node, { instance }: Guest): Where => ({ node, namespace: instance });

export interface Background {
  stop(): Promise<void>;
}

/** Starts a python program that prints "ready" once it serves. */
export async function startPython({ node, namespace }: Where, ...words: string[]): Promise<Background> {
  const inner = namespace === undefined ? [] : ['nsenter', `--net=/run/netns/${namespace}`];
  const args = ['-t', `${node.pid}`, '-m', '-n', ...inner, PYTHON, ...words];
  const child: ChildProcess = spawn('nsenter', args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  await Promise.race([
    once(child.stdout!, 'data'),
    ended.then(() => {
      throw new Error(`${words.join(' ')} ended at once`);
    }),
  ]);
  return {
    async stop() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

export const talk = (where: Where, ...words: string[]): Promise<Background> =>
  startPython(where, TALK, ...words);

async function python({ node, namespace }: Where, ...words: string[]): Promise<string> {
  const text = await node.run(
    `${namespace === undefined ? '' : `@${namespace} `}${PYTHON} ${words.join(' ')}`,
  );
  return text.trim();
}

/** Who the other end takes the sender for; "none" without an answer. Its end is an `echo` of talk.py. */
export async function ask(
  from: Where,
  address: string,
  kind: 'udp' | 'tcp',
  source = '0.0.0.0',
): Promise<string> {
  return await python(from, TALK, 'ask', address, `${PORT}`, kind, source);
}

export const ftpFetch = (from: Where, address: string): Promise<string> =>
  python(from, FTP, 'fetch', address);

export const PORT = 7000;
