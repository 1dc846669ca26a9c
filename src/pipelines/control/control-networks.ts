/** @file What pipelines with ControlNets need. */

export { buildControlNet } from '../../models/controlnet.ts';
export { readControl } from './control.ts';
export { CONTROL_SCALES, controlPath, controlResiduals } from './control-graph.ts';
export { controlInputs, controlScales } from './control-inputs.ts';
export { checkFitsUNet, checkFitsVae } from './controlnet-option.ts';
