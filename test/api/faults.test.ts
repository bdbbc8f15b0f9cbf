// What callers see when something behind the API fails. The controller is a stand-in here, because the real one
// cannot be made to fail in these ways.
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { ERROR_STATUS, type ErrorCode, RequestError } from '../../src/records/errors.ts';
import { faultyServer } from './faulty.ts';
import { SECRET } from './tokens.ts';

describe('faults behind the API', () => {
  it('an unexpected error is answered with an id, and the log has the cause under that id', async () => {
    const { app, log, headers } = await faultyServer({
      getNetwork: async () => {
        throw new Error('disk says: password hunter2');
      },
    });
    const answer = await app.inject({ url: '/networks/demonet', headers });
    assert.equal(answer.statusCode, 500);
    const { error, status } = answer.json<{ error: string; status: number }>();
    assert.equal(status, 500);
    const id = /^internal error \(id ([0-9a-f]{8})\)$/.exec(error)?.[1];
    assert.ok(id, error);
    assert.doesNotMatch(answer.body, /hunter2/);
    assert.ok(log.some((entry) => entry.includes(`"id":"${id}"`) && entry.includes('hunter2')));
    await app.close();
  });

  it('a RequestError "internal" is not for callers either', async () => {
    const { app, headers } = await faultyServer({
      listNodes: async () => {
        throw new RequestError('internal', 'hunter2');
      },
    });
    const answer = await app.inject({ url: '/nodes', headers });
    assert.equal(answer.statusCode, 500);
    assert.doesNotMatch(answer.body, /hunter2/);
    await app.close();
  });

  it('each RequestError has its status and its own text', async () => {
    let next: ErrorCode = 'malformed';
    const { app, headers } = await faultyServer({
      getNode: async () => {
        throw new RequestError(next, `text of ${next}`);
      },
    });
    for (const [code, status] of Object.entries(ERROR_STATUS)) {
      if (code === 'internal') continue;
      next = code as ErrorCode;
      const answer = await app.inject({ url: '/nodes/sf-1', headers });
      assert.deepEqual([answer.statusCode, answer.json()], [status, { error: `text of ${code}`, status }]);
      assert.match(String(answer.headers['content-type']), /^application\/json/);
    }
    await app.close();
  });

  it('neither log nor answer has keys, tokens or bodies', async () => {
    const { app, log, headers } = await faultyServer({
      authenticate: async () => {
        throw new RequestError('unauthorized', 'namespace and key do not fit');
      },
      createInstance: async () => {
        throw new Error('cause');
      },
    });
    const body = { name: 'i', cpus: 1, memory: 1, network: [], disk: [], user_data: 'hunter2' };
    const answers = [
      await app.inject({ method: 'POST', url: '/auth', payload: { namespace: 'system', key: 'hunter2' } }),
      await app.inject({ method: 'POST', url: '/auth', payload: '{"namespace":"system","key":"hunter2"' }),
      await app.inject({ method: 'POST', url: '/instances', headers, payload: body }),
      await app.inject({ url: '/nodes?limit=hunter2', headers }),
      await app.inject({ url: '/nodes', headers: { authorization: 'Bearer hunter2' } }),
    ];
    assert.deepEqual(
      answers.map((answer) => answer.statusCode),
      [401, 400, 500, 400, 401],
    );
    const everything = [...log, ...answers.map((answer) => answer.body)].join('\n');
    assert.ok(log.length >= 5);
    for (const secret of ['hunter2', SECRET, headers.authorization.slice(7)]) {
      assert.equal(everything.includes(secret), false, secret);
    }
    await app.close();
  });

  it('a call that hangs is given up with 503', async () => {
    const { app, headers } = await faultyServer(
      { listNodes: () => new Promise(() => undefined) },
      { answerMilliseconds: 100 },
    );
    const answer = await app.inject({ url: '/nodes', headers });
    assert.equal(answer.statusCode, 503);
    assert.match(answer.json<{ error: string }>().error, /took too long/);
    assert.equal(answer.json<{ status: number }>().status, 503);
    await app.close();
  });

  it('an event loop that lags answers 503 with Retry-After, and health still answers', async () => {
    const { app, headers } = await faultyServer({ listNodes: async () => [] }, { loopDelayMilliseconds: 20 });
    await app.ready();
    const until = Date.now() + 1500;
    while (Date.now() < until) {
      const block = Date.now() + 100;
      while (Date.now() < block);
      await sleep(1);
    }
    const answer = await app.inject({ url: '/nodes', headers });
    assert.equal(answer.statusCode, 503);
    assert.deepEqual(answer.json(), { error: 'overloaded: try again in a moment', status: 503 });
    assert.equal(answer.headers['retry-after'], '1');
    assert.equal((await app.inject('/healthz')).statusCode, 200);
    await app.close();
  });

  it('readiness follows the store, health does not', async () => {
    let ready = false;
    let broken = false;
    const objects = { network: 3, instance: 2, interface: 4, node: 1, namespace: 1 };
    const { app } = await faultyServer({
      health: async () => {
        if (broken) throw new Error('gone');
        return { ready, revision: 7, objects, agents: 2, nodes: [] };
      },
    });
    const notReady = await app.inject('/readyz');
    assert.deepEqual(
      [notReady.statusCode, notReady.json()],
      [503, { error: 'the store is not ready', status: 503 }],
    );
    ready = true;
    const isReady = await app.inject('/readyz');
    assert.deepEqual(
      [isReady.statusCode, isReady.json()],
      [200, { status: 'ready', revision: 7, agents: 2 }],
    );
    broken = true;
    assert.equal((await app.inject('/readyz')).statusCode, 503);
    assert.equal((await app.inject('/healthz')).statusCode, 200);
    await app.close();
  });

  it('metrics have records, agents, requests and what the daemon adds; a broken part is left out', async () => {
    let broken = false;
    const objects = { network: 3, instance: 2, interface: 4, node: 1, namespace: 1 };
    const { app, headers } = await faultyServer(
      {
        health: async () => ({ ready: true, revision: 7, objects, agents: 2, nodes: [] }),
        listNodes: async () => [],
      },
      {},
      async () => {
        if (broken) throw new Error('no maps');
        return 'fistpath_more 1\n';
      },
    );
    await app.inject({ url: '/nodes', headers });
    await app.inject('/nowhere');
    const { body, headers: given } = await app.inject('/metrics');
    assert.match(String(given['content-type']), /^text\/plain/);
    for (const line of [
      'fistpath_objects{type="network"} 3',
      'fistpath_agents 2',
      'fistpath_store_revision 7',
      'fistpath_http_request_seconds_count{method="GET",route="/nodes",status="200"} 1',
      'fistpath_http_request_seconds_count{method="GET",route="none",status="404"} 1',
      'fistpath_more 1',
    ]) {
      assert.ok(body.split('\n').includes(line), line);
    }
    broken = true;
    const rest = await app.inject('/metrics');
    assert.equal(rest.statusCode, 200);
    assert.match(rest.body, /fistpath_agents 2/);
    assert.doesNotMatch(rest.body, /fistpath_more/);
    await app.close();
  });

  it('a short token secret is refused at the start', async () => {
    const { createServer } = await import('../../src/api/server.ts');
    const { operationsWith } = await import('./faulty.ts');
    const { default: pino } = await import('pino');
    await assert.rejects(
      createServer({ operations: operationsWith({}), log: pino({ level: 'silent' }), tokenSecret: 'short' }),
      /at least 32 bytes/,
    );
  });
});
