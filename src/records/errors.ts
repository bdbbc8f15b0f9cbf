/** What can go wrong with a request: one table for code, HTTP status and exit code of the CLI. */
export const ERROR_STATUS = {
  malformed: 400,
  unauthorized: 401,
  forbidden: 403,
  'not-found': 404,
  'not-ready': 406,
  conflict: 409,
  'too-large': 413,
  internal: 500,
  'no-capacity': 507,
} as const;

export type ErrorCode = keyof typeof ERROR_STATUS;

/** An error whose message is written for the person who asked: what failed, on which object, why. */
export class RequestError extends Error {
  readonly code: ErrorCode;
  constructor(code: ErrorCode, message: string) {
    super(message);
    this.name = 'RequestError';
    this.code = code;
  }

  get status(): number {
    return ERROR_STATUS[this.code];
  }
}
