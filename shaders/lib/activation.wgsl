// Activation functions over V, which the including shader makes an alias of f32 or vec4f.
// Exponents are clamped: WGSL does not promise infinities.

fn sigmoid(v: V) -> V {
  return 1.0 / (1.0 + exp(min(-v, V(80.0))));
}

// Abramowitz and Stegun 7.1.26, absolute error below 1.5e-7.
fn erf(v: V) -> V {
  let t = 1.0 / (1.0 + 0.3275911 * abs(v));
  let p = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t;
  return sign(v) * (1.0 - p * exp(-v * v));
}

fn gelu(v: V) -> V {
  return 0.5 * v * (1.0 + erf(v * 0.7071067811865476));
}

fn silu(v: V) -> V {
  return v * sigmoid(v);
}

fn quickGelu(v: V) -> V {
  return v * sigmoid(1.702 * v);
}

// (1 + tanh(u)) / 2 is sigmoid(2 u).
fn geluTanh(v: V) -> V {
  return v * sigmoid(1.5957691216057308 * (v + 0.044715 * v * v * v));
}

fn boundedTanh(v: V) -> V {
  return tanh(clamp(v, V(-15.0), V(15.0)));
}

#if ACTIVATION != any
fn activate(v: V) -> V {
#if ACTIVATION == relu
  return max(v, V(0.0));
#elif ACTIVATION == silu
  return silu(v);
#elif ACTIVATION == gelu
  return gelu(v);
#elif ACTIVATION == quick_gelu
  return quickGelu(v);
#elif ACTIVATION == gelu_tanh
  return geluTanh(v);
#elif ACTIVATION == tanh
  return boundedTanh(v);
#else
  return v;
#endif
}
#endif
