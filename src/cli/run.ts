import { type Command, CommanderError } from 'commander';
import { EXIT, type ExitCode, Failure } from './failure.ts';
import { createProgram } from './program.ts';

/** The command that the words lead to, for "see … --help". */
function commandAt(program: Command, words: string[]): string {
  let command = program;
  const path = [program.name()];
  for (const word of words) {
    const next = command.commands.find((candidate) => candidate.name() === word);
    if (next === undefined) continue;
    command = next;
    path.push(word);
  }
  return path.join(' ');
}

function complain(message: string): void {
  const line = message.replaceAll(/\s*[\r\n]+\s*/g, ' ').trim();
  process.stderr.write(`fistpath: ${line}\n`);
}

/** Runs one command line (without the interpreter and the program) and answers its exit code. Never throws. */
export async function run(words: string[]): Promise<ExitCode> {
  const program = createProgram();
  try {
    await program.parseAsync(words, { from: 'user' });
    return typeof process.exitCode === 'number' ? (process.exitCode as ExitCode) : EXIT.ok;
  } catch (error) {
    if (error instanceof CommanderError) {
      // Help that was asked for ends with 0; help for want of a command has been printed to stderr.
      if (error.exitCode === 0) return EXIT.ok;
      if (error.code !== 'commander.help') {
        complain(`${error.message.replace(/^error: /, '')}; see ${commandAt(program, words)} --help`);
      }
      return EXIT.usage;
    }
    if (process.env.FISTPATH_DEBUG !== undefined) console.error(error);
    complain((error as Error).message);
    return error instanceof Failure ? error.exitCode : EXIT.failure;
  }
}
