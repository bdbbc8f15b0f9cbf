import { spawn } from 'node:child_process';

export interface ProcessResult {
  stdout: string;
  stderr: string;
  code: number;
}

export interface ProcessOptions {
  /** Text for its standard input. */
  input?: string;
  /** Resolve on a non-zero exit, too. */
  mayFail?: boolean;
}

/** Runs a program to its end. Rejects with the command, its exit code and the first lines of its stderr. */
export function run(command: string, args: string[], options: ProcessOptions = {}): Promise<ProcessResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => err.push(chunk));
    child.on('error', (error) => reject(new Error(`${command} can't be run: ${error.message}`)));
    child.on('close', (code, signal) => {
      const result = {
        stdout: Buffer.concat(out).toString(),
        stderr: Buffer.concat(err).toString(),
        code: code ?? 128,
      };
      if (result.code === 0 || options.mayFail) resolve(result);
      else {
        const reason = result.stderr.trim().split('\n').slice(0, 5).join('; ');
        reject(new Error(`${command} ${args.join(' ')} failed (${signal ?? `exit ${code}`}): ${reason}`));
      }
    });
    child.stdin.on('error', () => {}); // it may exit before it has read all
    child.stdin.end(options.input ?? '');
  });
}
