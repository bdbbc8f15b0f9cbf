import { request } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';

const PATIENCE_MS = 10_000;

/** Another answer than 200. */
export class RestError extends Error {
  readonly status: number;
  readonly text: string;

  constructor(method: string, path: string, status: number, text: string) {
    super(`${method} ${path}: ${status} ${text}`);
    this.status = status;
    this.text = text;
  }
}

/** A REST client on a unix socket, since the lab's TCP addresses exist inside its namespaces only. */
export class Rest {
  readonly #socketPath: string;
  readonly #key: string;
  #token = '';

  constructor(socketPath: string, key: string) {
    this.#socketPath = socketPath;
    this.#key = key;
  }

  /** Calls as the admin namespace; throws RestError on anything but 200. A busy machine's "try again" is obeyed. */
  async call<T>(method: string, path: string, body?: unknown): Promise<T> {
    const end = Date.now() + PATIENCE_MS;
    for (let refused = 0; ; ) {
      try {
        if (this.#token === '') await this.#authenticate();
        return await this.#send<T>(method, path, body);
      } catch (error) {
        const status = error instanceof RestError ? error.status : 0;
        if (status === 401 && refused === 0) {
          refused++;
          this.#token = '';
        } else if (status === 503 && Date.now() < end) await delay(200);
        else throw error;
      }
    }
  }

  async #authenticate(): Promise<void> {
    this.#token = '';
    const credentials = { namespace: 'system', key: this.#key };
    this.#token = (await this.#send<{ access_token: string }>('POST', '/auth', credentials)).access_token;
  }

  #send<T>(method: string, path: string, body: unknown): Promise<T> {
    const headers: Record<string, string> = {};
    if (this.#token !== '') headers.Authorization = `Bearer ${this.#token}`;
    const text = body === undefined ? '' : JSON.stringify(body);
    if (body !== undefined) {
      headers['Content-Type'] = 'application/json';
      // Node sends no length with a DELETE by itself.
      headers['Content-Length'] = String(Buffer.byteLength(text));
    }
    return new Promise((resolve, reject) => {
      const outgoing = request({ socketPath: this.#socketPath, method, path, headers }, (answer) => {
        let said = '';
        answer.setEncoding('utf8').on('data', (part: string) => {
          said += part;
        });
        answer.on('end', () => {
          if (answer.statusCode === 200) resolve(JSON.parse(said) as T);
          else reject(new RestError(method, path, answer.statusCode ?? 0, said));
        });
      });
      outgoing.on('error', (error) => reject(new Error(`${method} ${path}: ${error.message}`)));
      outgoing.end(text);
    });
  }
}
