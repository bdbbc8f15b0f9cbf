import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import type { fistpath } from '#proto';
import { ControllerStream } from '../../src/agent/stream.ts';
import { type Duplex, SERVICE } from './stand-in-controller.ts';

async function serve(
  onStream: (stream: Duplex) => void,
  port = 0,
): Promise<{ server: Server; port: number }> {
  const server = new Server();
  server.addService(SERVICE, { Connect: onStream });
  const bound = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (error, actual) =>
      error ? reject(error) : resolve(actual),
    );
  });
  return { server, port: bound };
}

describe('ControllerStream', () => {
  it('says hello first, and passes messages on', async () => {
    const { server, port } = await serve((stream) => {
      stream.once('data', (message: fistpath.AgentMessage) => {
        stream.write({ revision: 7, removed: message.hello!.node });
      });
    });
    const messages: fistpath.ControllerMessage[] = [];
    let got: () => void;
    const arrived = new Promise<void>((resolve) => {
      got = resolve;
    });
    const stream = new ControllerStream({
      controllers: [`127.0.0.1:${port}`],
      hello: async () => ({ node: 'sf-9' }),
      onMessage: (message) => {
        messages.push(message);
        got();
      },
      onState: () => {},
    });
    const running = stream.run();
    await arrived;
    stream.close();
    await running;
    server.forceShutdown();
    assert.equal(messages[0]!.removed, 'sf-9');
    assert.equal(Number(messages[0]!.revision), 7);
  });

  it('backs off while nobody answers, up to five seconds, and comes back when somebody does', async () => {
    const reserved = await serve(() => {});
    reserved.server.forceShutdown();
    const delays: number[] = [];
    const states: string[] = [];
    const waiting = { connected: () => {} };
    const connected = new Promise<void>((resolve) => {
      waiting.connected = resolve;
    });
    let late: Server | undefined;
    const stream = new ControllerStream({
      controllers: [`127.0.0.1:${reserved.port}`],
      hello: async () => ({ node: 'sf-9' }),
      onMessage: () => {},
      onState: (state) => {
        states.push(state);
        if (state === 'connected') waiting.connected();
      },
      delay: async (ms) => {
        delays.push(ms);
        if (delays.length === 8)
          ({ server: late } = await serve((s) => s.write({ revision: 1 }), reserved.port));
      },
    });
    const running = stream.run();
    await connected;
    stream.close();
    await running;
    late?.forceShutdown();
    assert.ok(delays.length >= 8);
    assert.ok(
      delays[0]! <= 400 && delays[7]! >= 2500 && Math.max(...delays) <= 5000,
      `delays ${delays.join(', ')}`,
    );
    assert.equal(states.at(0), 'lost');
    assert.equal(states.filter((state) => state === 'connected').length, 1);
  });

  it('comes back after a controller that ended the stream', async () => {
    let connections = 0;
    const { server, port } = await serve((stream) => {
      connections++;
      stream.write({ revision: connections });
      if (connections === 1) stream.end();
      stream.on('error', () => {});
    });
    const revisions: number[] = [];
    const done = new AbortController();
    const stream = new ControllerStream({
      controllers: [`127.0.0.1:${port}`],
      hello: async () => ({ node: 'sf-9' }),
      onMessage: (message) => {
        revisions.push(Number(message.revision));
        if (revisions.length === 2) done.abort();
      },
      onState: () => {},
      delay: async () => {},
    });
    const running = stream.run();
    await once(done.signal, 'abort');
    stream.close();
    await running;
    server.forceShutdown();
    assert.deepEqual(revisions, [1, 2]);
  });
});
