/** @file Classifier-free guidance and the scheduler's step in one kernel; rescale keeps one reduction before it. */

import { rewriteNodes, type Pass } from './pass.ts';

export const fuseGuidedStep: Pass = {
  name: 'guided-step',
  summary: 'guidance + scheduler step',
  run: (graph, target) =>
    rewriteNodes(graph, target, (node, { producer, usedOnce, newValue, value }) => {
      if (node.kind !== 'schedulerStep') return undefined;
      const guidance = producer(node.inputs.output);
      if (guidance?.kind !== 'guidance') return 'no guidance before it';
      if (guidance.inputs.row !== node.inputs.row) return 'the step takes rows by pixel';
      if (!usedOnce(guidance.output)) return 'the guided output is used elsewhere';
      const { output, coefficients, row } = guidance.inputs;
      if (!guidance.attrs.rescale)
        return [{ ...node, kind: 'guidedStep', inputs: { ...node.inputs, output } }];
      const factor = newValue({ name: 'guidance.factor', shape: value(row).shape, dtype: 'f32' });
      return [
        {
          kind: 'guidanceFactor',
          name: 'guidance.factor',
          inputs: { output, coefficients, row },
          attrs: {},
          output: factor,
        },
        { ...node, kind: 'guidedStep', inputs: { ...node.inputs, output, factor } },
      ];
    }),
};
