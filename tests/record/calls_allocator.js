// calls_allocator.js FILE: allocates through chains of functions, and writes to FILE the chain of each block of 123,457 bytes
// as node's own stack traces have it, innermost first.
'use strict';

Error.stackTraceLimit = 100;
const chains = [], kept = [];

function leaf() {
  chains.push(new Error().stack.match(/at (leaf|even|odd) /g).join(' ').replace(/at /g, '').replace(/ +/g, ' ').trim());
  return new ArrayBuffer(123457);
}
function even(depth, inCallback) { return depth === 0 ? leaf() : odd(depth - 1, inCallback); }
function odd(depth, inCallback) {
  if (depth === 0) return leaf();
  return inCallback ? [depth].map((d) => even(d - 1, inCallback))[0] : even(depth - 1, inCallback);
}

for (let i = 0; i < 500; i++) kept.push(even(i % 23, i % 3 === 0));
require('fs').writeFileSync(process.argv[2], chains.join('\n'));
