/** @file Classifier-free guidance of one image, which guidance, guidanceFactor and guidedStep share. */

import { coefficientColumns } from '../../schedulers/coefficients.ts';
import { elementCount, lastAxis, type Tensor } from './op.ts';

/** The columns of guidance are the same for every number of slots. */
const COLUMNS = coefficientColumns(1);

/** uncond + scale * (cond - uncond), in float64; `row` is the image's row of the coefficients. */
export function guide(output: Tensor, coefficients: Tensor, row: number, image: number): Float64Array {
  const size = elementCount(output.shape.slice(1));
  const images = output.shape[0] / 2;
  const scale = coefficients.data[row * lastAxis(coefficients.shape) + COLUMNS.guidanceScale];
  const guided = new Float64Array(size);
  for (let i = 0; i < size; i++) {
    const uncond = output.data[image * size + i];
    const cond = output.data[(images + image) * size + i];
    guided[i] = uncond + scale * (cond - uncond);
  }
  return guided;
}

/** rescale * std(cond) / std(guided) + 1 - rescale (diffusers `rescale_noise_cfg`, Lin et al. 2023). */
export function rescaleFactor(output: Tensor, coefficients: Tensor, row: number, image: number): number {
  const rescale = coefficients.data[row * lastAxis(coefficients.shape) + COLUMNS.guidanceRescale];
  const size = elementCount(output.shape.slice(1));
  const images = output.shape[0] / 2;
  const cond = Float64Array.from(output.data.subarray((images + image) * size, (images + image + 1) * size));
  return (rescale * deviation(cond)) / deviation(guide(output, coefficients, row, image)) + 1 - rescale;
}

/** Unbiased standard deviation. */
function deviation(values: Float64Array): number {
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1));
}
