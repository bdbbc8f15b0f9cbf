// Tokens. The controller is a stand-in, so that a namespace can vanish and keys can be counted.
import assert from 'node:assert/strict';
import { RequestError } from '../../src/records/errors.ts';
import { faultyServer } from './faulty.ts';
import { forge, part, SECRET } from './tokens.ts';

describe('tokens', () => {
  let now: number;
  let claims: { sub: string; iss: string; iat: number; exp: number };

  // Not when this file is read: other tests run for longer than such a token is valid.
  before(() => {
    now = Math.floor(Date.now() / 1000);
    claims = { sub: 'system', iss: 'fistpath', iat: now, exp: now + 60 };
  });

  it('POST /auth exchanges a key for one that works for 15 minutes', async () => {
    const seen: string[][] = [];
    const { app } = await faultyServer({
      authenticate: async (namespace, key) => {
        seen.push([namespace, key]);
      },
      listNodes: async (caller) => {
        assert.deepEqual(caller, { namespace: 'demo' });
        return [];
      },
    });
    const answer = await app.inject({
      method: 'POST',
      url: '/auth',
      payload: { namespace: 'demo', key: 'k' },
    });
    assert.equal(answer.statusCode, 200);
    const { access_token, ...rest } = answer.json<{ access_token: string }>();
    assert.deepEqual(rest, { token_type: 'Bearer', expires_in: 900 });
    const claims = app.jwt.decode<{ iat: number; exp: number }>(access_token);
    assert.equal((claims?.exp ?? 0) - (claims?.iat ?? 0), 900);
    assert.deepEqual(seen, [['demo', 'k']]);
    const used = await app.inject({ url: '/nodes', headers: { authorization: `Bearer ${access_token}` } });
    assert.deepEqual([used.statusCode, used.json()], [200, []]);
    await app.close();
  });

  it('only a whole, timely, unforged token is taken; every other is 401 with WWW-Authenticate', async () => {
    const { app } = await faultyServer({ listNodes: async () => [] });
    const status = async (authorization?: string) => {
      const answer = await app.inject({ url: '/nodes', headers: authorization ? { authorization } : {} });
      if (answer.statusCode !== 200) {
        assert.equal(answer.json<{ status: number }>().status, 401);
        assert.equal(answer.headers['www-authenticate'], 'Bearer');
      }
      return answer.statusCode;
    };
    assert.equal(await status(`Bearer ${forge(claims)}`), 200, 'the control');
    const refused: Record<string, string | undefined> = {
      none: undefined,
      'another scheme': 'Basic c3lzdGVtOms=',
      'no token': 'Bearer ',
      garbage: 'Bearer a.b.c',
      'another secret': `Bearer ${forge(claims, 'another secret of thirty-two bytes')}`,
      'no signature': `Bearer ${part({ alg: 'none' })}.${part(claims)}.`,
      'another algorithm': `Bearer ${forge(claims, SECRET, 'HS512')}`,
      expired: `Bearer ${forge({ ...claims, exp: now - 1 })}`,
      'without an end': `Bearer ${forge({ sub: 'system', iss: 'fistpath', iat: now })}`,
      'without a namespace': `Bearer ${forge({ iss: 'fistpath', iat: now, exp: now + 60 })}`,
      "another issuer's": `Bearer ${forge({ ...claims, iss: 'other' })}`,
    };
    for (const [why, header] of Object.entries(refused)) assert.equal(await status(header), 401, why);
    await app.close();
  });

  it('a token does not outlive its namespace', async () => {
    let exists = true;
    const { app, headers } = await faultyServer({
      namespaceExists: async () => exists,
      listNodes: async () => [],
    });
    assert.equal((await app.inject({ url: '/nodes', headers })).statusCode, 200);
    exists = false;
    const answer = await app.inject({ url: '/nodes', headers });
    assert.deepEqual([answer.statusCode, answer.json<{ status: number }>().status], [401, 401]);
    await app.close();
  });

  it('guessing keys is bounded per address', async () => {
    let attempts = 0;
    const { app } = await faultyServer(
      {
        authenticate: async () => {
          attempts += 1;
          throw new RequestError('unauthorized', 'namespace and key do not fit');
        },
      },
      { tokensPerMinute: 5 },
    );
    const statuses: number[] = [];
    for (let i = 0; i < 8; i++) {
      const answer = await app.inject({
        method: 'POST',
        url: '/auth',
        payload: { namespace: 'system', key: `${i}` },
      });
      statuses.push(answer.statusCode);
      assert.equal(answer.json<{ status: number }>().status, answer.statusCode);
    }
    assert.deepEqual(statuses, [401, 401, 401, 401, 401, 429, 429, 429]);
    assert.equal(attempts, 5);
    await app.close();
  });

  it('the body of POST /auth must be two strings', async () => {
    const { app } = await faultyServer({});
    for (const payload of [
      {},
      { namespace: 'system' },
      { namespace: 'system', key: '' },
      { namespace: 1, key: 'k' },
      { namespace: 'a\nb', key: 'k' },
      { namespace: 'system', key: 'k', more: 1 },
      [],
    ]) {
      const answer = await app.inject({ method: 'POST', url: '/auth', payload });
      assert.equal(answer.statusCode, 400, JSON.stringify(payload));
    }
    await app.close();
  });
});
