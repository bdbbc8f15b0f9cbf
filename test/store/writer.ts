// Writes pairs of records as fast as it can and says which are acknowledged; ends by being killed.
import { openEmbeddedStore } from '../../src/store/embedded.ts';

const store = await openEmbeddedStore(process.argv[2]!);
process.stdout.write('open\n');
for (let round = 0; ; round++) {
  const numbers = Array.from({ length: 16 }, (_, index) => round * 16 + index);
  await Promise.all(
    numbers.map(async (number) => {
      const value = Buffer.from(`${number}`.repeat(50));
      await store.transaction(
        [],
        [
          { put: `/left/${number}`, value },
          { put: `/right/${number}`, value },
        ],
      );
      process.stdout.write(`${number}\n`);
    }),
  );
}
