/** @file Token embedding, and position embedding where there is one: how text encoders start. */

import { check, checkDim, checkRank, dimOf, type OpDefinition, type ValueId } from '../op.ts';

export interface EmbedTokensOp {
  readonly inputs: {
    /** [batch, tokens] i32 */
    readonly ids: ValueId;
    /** [vocabulary, channels] */
    readonly table: ValueId;
    /** [positions, channels]; positions must be at least tokens. Absent where the network has none (T5). */
    readonly positions?: ValueId;
  };
  readonly attrs: Record<never, never>;
}

export const embedTokens: OpDefinition<EmbedTokensOp> = {
  summary: 'token embedding, + position embedding',
  dtypes: { ids: 'i32' },
  infer({ ids, table, positions }) {
    checkRank('ids', ids, 2);
    if (positions) {
      checkDim('positions', positions, 1, dimOf(table, 1));
      const [tokens, most] = [dimOf(ids, 1), dimOf(positions, 0)];
      check(
        typeof tokens !== 'number' || typeof most !== 'number' || tokens <= most,
        'there are fewer positions than tokens',
      );
    }
    return { shape: [...ids.shape, dimOf(table, 1)], dtype: 'float' };
  },
};
