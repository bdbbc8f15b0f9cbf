/** What the fuzzer picks from. */
import { ADDRESS, MAC, VNI } from './places.ts';
import { Random } from './random.ts';

export const MACS = [...Object.values(MAC), 'ffffffffffff', '01005e000001', '3333000000fb', '000000000000'];
export const ADDRESSES = [...Object.values(ADDRESS), 0, 0xffffffff, 0x7f000001];
export const VNIS = Object.values(VNI);
export const FILL = new Random(1).bytes(9200);
