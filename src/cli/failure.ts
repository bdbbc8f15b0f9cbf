/** Exit codes of the command line: part of its contract, shown by `fistpath --help`. */
export const EXIT = { ok: 0, failure: 1, usage: 2, notFound: 3, conflict: 4 } as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** An expected failure. Its message becomes the one line on stderr: what failed, on which object, why, what to do. */
export class Failure extends Error {
  readonly exitCode: ExitCode;
  constructor(message: string, exitCode: ExitCode = EXIT.failure) {
    super(message);
    this.name = 'Failure';
    this.exitCode = exitCode;
  }
}

export function usage(message: string): Failure {
  return new Failure(message, EXIT.usage);
}

/** 400 says that an argument was wrong, which is what exit code 2 says. */
export function exitCodeOf(status: number): ExitCode {
  if (status === 400) return EXIT.usage;
  if (status === 404) return EXIT.notFound;
  if (status === 409) return EXIT.conflict;
  return EXIT.failure;
}
