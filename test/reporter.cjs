/** Mocha's `spec` output, closed by one line that machines read: `N passed, N failed, N skipped`. */
const Mocha = require('mocha');

module.exports = class ClosingLine extends Mocha.reporters.Spec {
  constructor(runner, options) {
    super(runner, options);
    runner.once(Mocha.Runner.constants.EVENT_RUN_END, () => {
      const { passes, failures, pending } = runner.stats;
      console.log(`${passes} passed, ${failures} failed, ${pending} skipped`);
    });
  }
};
