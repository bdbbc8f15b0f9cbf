import { request as httpRequest, type RequestOptions } from 'node:http';
import { exitCodeOf, Failure, usage } from './failure.ts';
import type { Settings } from './settings.ts';

/** The API answered, but not with success. */
export class ApiFailure extends Failure {
  readonly status: number;
  constructor(message: string, status: number) {
    super(message, exitCodeOf(status));
    this.status = status;
  }
}

/** Nothing answered at the API's address. */
export class ApiUnreachable extends Failure {}

interface Reply {
  status: number;
  text: string;
}

/** Where requests go: a TCP address or a unix socket. */
function targetOf(url: string): { secure: boolean; options: RequestOptions; prefix: string } {
  if (url.startsWith('unix:')) {
    return {
      secure: false,
      options: { socketPath: url.slice('unix:'.length).replace(/^\/\/(?=\/)/, '') },
      prefix: '',
    };
  }
  let parsed: URL;
  try {
    parsed = new URL(url);
  } catch {
    throw usage(`${url} is no API address: give http://host:port, https://host:port or unix:/path/to/socket`);
  }
  if (!/^https?:$/.test(parsed.protocol)) {
    throw usage(`${url} is no API address: give http://host:port, https://host:port or unix:/path/to/socket`);
  }
  const hostname = parsed.hostname.replace(/^\[(.*)\]$/, '$1');
  return {
    secure: parsed.protocol === 'https:',
    options: { hostname, ...(parsed.port ? { port: parsed.port } : {}) },
    prefix: parsed.pathname.replace(/\/$/, ''),
  };
}

/** Why a connection failed, for people. */
function unreachable(url: string, error: NodeJS.ErrnoException | AggregateError): ApiUnreachable {
  const code = (error as NodeJS.ErrnoException).code ?? error.message;
  const reasons: Record<string, string> = {
    ECONNREFUSED: 'connection refused',
    ENOENT: 'there is no such socket',
    EACCES: 'permission denied',
    ENOTFOUND: 'the host name is unknown',
    ETIMEDOUT: 'no answer in time',
    ECONNRESET: 'the connection was closed',
  };
  return new ApiUnreachable(
    `no API at ${url} (${reasons[code] ?? (error.message || code)}): is fistpathd running there? --api-url or FISTPATH_API_URL says where to look`,
  );
}

function parseReply(reply: Reply): unknown {
  try {
    return JSON.parse(reply.text);
  } catch {
    return undefined;
  }
}

/** A client of the REST API. Gets its token with the first request, and a new one when the API stops taking it. */
export class ApiClient {
  readonly #settings: Settings;
  readonly #timeoutMs: number;
  #token: string | undefined;

  constructor(settings: Settings, timeoutMs = 60_000) {
    this.#settings = settings;
    this.#timeoutMs = timeoutMs;
  }

  /**
   * One request with a token. `purpose` says for people what it is for ("show network demonet"); a failure is
   * told as `cannot <purpose>: <the API's reason>`.
   */
  async request<T>(purpose: string, method: string, path: string, body?: unknown): Promise<T> {
    const reused = this.#token !== undefined;
    this.#token ??= await this.#authenticate(purpose);
    let reply = await this.#send(purpose, method, path, body, this.#token);
    if (reply.status === 401 && reused) {
      this.#token = await this.#authenticate(purpose);
      reply = await this.#send(purpose, method, path, body, this.#token);
    }
    return this.#result<T>(purpose, reply);
  }

  /** One request without a token: /healthz and the like. */
  async requestOpen<T>(purpose: string, method: string, path: string): Promise<T> {
    return this.#result<T>(purpose, await this.#send(purpose, method, path, undefined, undefined));
  }

  async #authenticate(purpose: string): Promise<string> {
    const { namespace } = this.#settings;
    const reply = await this.#send(
      purpose,
      'POST',
      '/auth',
      { namespace, key: this.#settings.key() },
      undefined,
    );
    if (reply.status === 401) {
      throw new ApiFailure(
        `cannot ${purpose}: the API at ${this.#settings.apiUrl} refuses the key of namespace ${namespace}: check FISTPATH_NAMESPACE and FISTPATH_KEY`,
        401,
      );
    }
    return this.#result<{ access_token: string }>(purpose, reply).access_token;
  }

  #result<T>(purpose: string, reply: Reply): T {
    const body = parseReply(reply);
    if (reply.status === 200 && body !== undefined) return body as T;
    const error = (body as { error?: unknown } | null | undefined)?.error;
    const reason =
      typeof error === 'string'
        ? error
        : `${this.#settings.apiUrl} answered ${reply.status} and no JSON: is it a fistpath API?`;
    throw new ApiFailure(`cannot ${purpose}: ${reason}`, reply.status);
  }

  async #send(
    purpose: string,
    method: string,
    path: string,
    body: unknown,
    token: string | undefined,
  ): Promise<Reply> {
    const { apiUrl } = this.#settings;
    const { secure, options, prefix } = targetOf(apiUrl);
    const send = secure ? (await import('node:https')).request : httpRequest;
    const payload = body === undefined ? undefined : JSON.stringify(body);
    return new Promise((resolve, reject) => {
      const call = send(
        {
          ...options,
          method,
          path: prefix + path,
          headers: {
            ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
            ...(payload === undefined
              ? {}
              : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) }),
          },
          signal: AbortSignal.timeout(this.#timeoutMs),
        },
        (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('error', failed);
          response.on('end', () =>
            resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString('utf8') }),
          );
        },
      );
      const failed = (error: Error): void => {
        const late = error.name === 'AbortError' || error.name === 'TimeoutError';
        const cause = late
          ? Object.assign(new Error(`no answer in ${this.#timeoutMs / 1000} s`), { code: 'ETIMEDOUT' })
          : error;
        const told = unreachable(apiUrl, cause);
        reject(new ApiUnreachable(`cannot ${purpose}: ${told.message}`));
      };
      call.on('error', failed);
      call.end(payload);
    });
  }
}
