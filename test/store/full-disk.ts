// Fills the file system under a store, then looks at what is there, in this process and after a reopen.
import { openEmbeddedStore } from '../../src/store/embedded.ts';

const directory = process.argv[2]!;
let store = await openEmbeddedStore(directory);
let written = 0;
let error = '';
try {
  for (; written < 1000; written++) {
    const value = Buffer.alloc(2000, written % 256);
    await store.transaction(
      [],
      [
        { put: `/left/${written}`, value },
        { put: `/right/${written}`, value },
      ],
    );
  }
} catch (caught) {
  error = (caught as Error).message;
}
const present = (await store.range('/left/')).entries.length;
const halves = Math.abs(present - (await store.range('/right/')).entries.length);
await store.close();
store = await openEmbeddedStore(directory);
const afterwards = (await store.range('/left/')).entries.length;
await store.close();
process.stdout.write(JSON.stringify({ written, error, present, halves, afterwards }));
process.exit(0);
