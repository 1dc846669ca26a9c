/**
 * @file What calotype can do, by the tests that hold it to diffusers: the rows of README's support table, which
 * tools/support-table.ts makes. A new feature is a line here.
 */

/** A row: its title, and the tests that count for it, by `file > suite > test`. */
export interface Feature {
  readonly feature: string;
  readonly tests: RegExp;
}

export const FEATURES: readonly Feature[] = [
  {
    feature: 'Text to image, SD 1.x and 2.x shaped',
    tests: /diffusers\.test.* > (tiny-sd|starter) > draws|deno\.test.*f16 tiny-sd: draws/,
  },
  {
    feature: 'Text to image, SDXL',
    tests: /diffusers\.test.* > tiny-sdxl > draws|deno\.test.*f16 tiny-sdxl: draws/,
  },
  { feature: 'Turbo, Lightning, LCM', tests: /models\.test.*(turbo|lightning|tiny-lcm|lcm-lora)/ },
  {
    feature: 'SDXL refiner, hand-over',
    tests: /models\.test.*(tiny-refiner|"(end|start|between|strength-end|inpaint-start|inpaint-between))/,
  },
  { feature: 'PixArt-alpha', tests: /pixart\.test.*draws "/ },
  { feature: 'x4 upscaler', tests: /models\.test.*tiny-upscaler/ },
  { feature: 'Image to image', tests: /images\.test.* > (tiny-sd|tiny-sdxl|starter) > draws "(?!inpaint)/ },
  { feature: 'Inpaint, masked and 9-channel', tests: /images\.test.*(draws "inpaint|tiny-inpaint > )/ },
  { feature: 'ControlNet, SD', tests: /control\.test.*draws "(?!xl-)/ },
  { feature: 'ControlNet, SDXL', tests: /control\.test.*draws "xl-/ },
  { feature: 'LoRA, LoCon, LoHa, LoKr, DoRA', tests: /lora\.test.*draws "/ },
  { feature: 'webui prompt syntax', tests: /pipelines\/webui\.test/ },
  { feature: 'IP-Adapter', tests: /guidance\.test.*draws "(pag-)?ip/ },
  { feature: 'Perturbed-attention guidance', tests: /guidance\.test.*draws "(freeu-control-)?pag/ },
  { feature: 'FreeU', tests: /guidance\.test.*draws "freeu/ },
  { feature: 'Hires fix', tests: /guidance\.test.*draws "hires/ },
  { feature: 'Feature caching (DeepCache)', tests: /guidance\.test.*draws "cache/ },
  {
    feature: 'Memory budgets: swapped, streamed, float8',
    tests: /memory\.test.*(as little as can be|layerwise casting)/,
  },
  { feature: 'VAE in f16 but for what overflows', tests: /vae-upcast\.test.*draws "/ },
  { feature: 'Step callbacks that read and change latents', tests: /callbacks\.test.* > tells the latents/ },
  { feature: 'Textual inversion', tests: /textual-inversion\.test/ },
];
