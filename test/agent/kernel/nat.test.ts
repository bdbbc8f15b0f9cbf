/** A network node, its routers and an outside: real packets through netfilter. */
import assert from 'node:assert/strict';
import { SERVER, type Site, site, withRoute } from './outside.ts';
import { guest, network, SF1, SF2 } from './samples.ts';

describe('kernel fallback, NAT', () => {
  const [alice, bob, carol] = [guest(1), guest(2), guest(3)] as const;
  const base = { local: [alice, bob], remote: [carol], peer: SF2, router: 'here' } as const;
  let all: Site;

  before(async () => {
    all = await site();
    await all.sf1.applied([network({ ...base, local: [alice, bob], remote: [carol], nat: {} })]);
    await all.sf2.applied([network({ local: [carol], remote: [alice, bob], peer: SF1, router: 'there' })]);
    await withRoute(all.sf1, alice);
    await withRoute(all.sf1, bob);
    await withRoute(all.sf2, carol);
  });
  after(async () => {
    await Promise.all([all?.sf1.stop(), all?.sf2.stop(), all?.outside.stop()]);
  });

  it('lets guests of both nodes reach the outside as the gateway', async () => {
    const { sf1, sf2 } = all;
    assert.match(await sf1.run(`@${alice.instance} ping -c 2 -i 0.1 -W 1 ${SERVER}`), / 0% packet loss/);
    assert.match(await sf2.run(`@${carol.instance} ping -c 2 -i 0.1 -W 1 ${SERVER}`), / 0% packet loss/);
  });
});
