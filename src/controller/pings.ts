import type { fistpath } from '#proto';
import { RequestError } from '../records/errors.ts';

/** Each is a process on the network node. */
const MOST = 16;

interface Asked {
  answer(reply: fistpath.IPingReply): void;
  giveUp(): void;
}

/** Pings that an agent was asked for. */
export class Pings {
  readonly #asked = new Map<number, Asked>();
  #last = 0;

  /** `send` gets the id that the reply will have. RequestError 'not-ready' without a reply within `ms`. */
  ask(ms: number, send: (id: number) => void): Promise<fistpath.IPingReply> {
    if (this.#asked.size >= MOST) {
      const text = `${MOST} pings are under way already: try again when they are done`;
      throw new RequestError('not-ready', text);
    }
    this.#last = (this.#last + 1) >>> 0;
    const id = this.#last;
    return new Promise((resolve, reject) => {
      const fail = (why: string) => {
        finish();
        reject(new RequestError('not-ready', `the network node ${why}`));
      };
      const timer = setTimeout(() => fail(`did not say within ${ms / 1000} s how the ping went`), ms);
      const finish = () => {
        clearTimeout(timer);
        this.#asked.delete(id);
      };
      this.#asked.set(id, {
        answer: (reply) => {
          finish();
          resolve(reply);
        },
        giveUp: () => fail('disconnected while it pinged'),
      });
      send(id);
    });
  }

  arrived(reply: fistpath.IPingReply): void {
    this.#asked.get(reply.id ?? 0)?.answer(reply);
  }

  giveUp(): void {
    for (const asked of [...this.#asked.values()]) asked.giveUp();
  }
}
