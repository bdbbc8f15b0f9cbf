/** A node of the kernel tests: this process lives in namespaces of its own and does what its parent asks. */
import { readFileSync, writeFileSync } from 'node:fs';
import { fistpath } from '#proto';
import { type ApplyResult, KernelFallback } from '../../../src/agent/kernel/kernel.ts';
import { runTool } from '../../../src/agent/kernel/run.ts';
import type { Reply, Request, ToolAnswer } from './node.ts';

/** Limits the changing runs of one pass, as a crash would; with a half, the last batch is cut in its middle. */
let changesLeft = Number.POSITIVE_INFINITY;
const changing = (command: string, args: readonly string[]) =>
  (command === 'nsenter' && !args.some((text) => text.includes('ip -j addr show'))) || // looking is no change
  args.includes('-batch') ||
  (command === 'nft' && args.includes('-f'));

/** Made-up answers of the tools, by command line; what is not among them succeeds, and is noted. */
let answers: Record<string, ToolAnswer> | undefined;
const invented: string[] = [];

let kernel: KernelFallback | undefined;
let config: ConstructorParameters<typeof KernelFallback>[0] | undefined;

function start(): KernelFallback {
  if (!config) throw new Error('no configuration yet');
  return new KernelFallback(config, async (command, args) => {
    if (answers) {
      const words = [command, ...args].join(' ');
      if (!(words in answers)) invented.push(words);
      return { code: 0, stdout: '', stderr: '', ...answers[words] };
    }
    if (!changing(command, args)) return await runTool(command, args);
    changesLeft--;
    if (changesLeft >= 0) return await runTool(command, args);
    // What is done inside a namespace ends before connections are forgotten.
    if (changesLeft === -0.5 && command === 'nsenter')
      await runTool(
        command,
        args.map((text) => text.replace(/^if .*conntrack.*$/m, 'exit 9')),
      );
    if (changesLeft === -0.5 && command !== 'nft' && command !== 'nsenter') {
      const file = args.at(-1)!;
      const lines = readFileSync(file, 'utf8').split('\n');
      writeFileSync(
        file,
        lines
          .slice(0, lines.length / 2)
          .map((line) => `${line}\n`)
          .join(''),
      );
      await runTool(command, args);
    }
    throw new Error('crash');
  });
}

async function serve(request: Request): Promise<unknown> {
  switch (request.verb) {
    case 'configure':
      config = request.config;
      answers = request.answers;
      invented.length = 0;
      kernel = start();
      return undefined;
    case 'restart':
      kernel = start();
      return undefined;
    case 'apply': {
      changesLeft = request.changes ?? Number.POSITIVE_INFINITY;
      const desired = new Map(
        request.networks.map((bytes) => {
          const network = fistpath.NodeNetwork.decode(Buffer.from(bytes, 'base64'));
          return [network.uuid!, network] as const;
        }),
      );
      const scope = request.scope && new Set(request.scope);
      if (!kernel) throw new Error('no configuration yet');
      const result: ApplyResult = await kernel.apply(desired, scope);
      return { ...result, networks: Object.fromEntries(result.networks) };
    }
    case 'invented':
      return invented;
    case 'run':
      return await runTool(request.command[0]!, request.command.slice(1));
  }
}

process.on('message', (request: Request) => {
  serve(request).then(
    (value) => process.send!({ id: request.id, value } satisfies Reply),
    (error: Error) => process.send!({ id: request.id, error: error.message } satisfies Reply),
  );
});
process.on('disconnect', () => process.exit());
process.send!('ready');
