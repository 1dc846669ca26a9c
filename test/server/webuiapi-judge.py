"""Judges a server by webuiapi, an independent client of stable-diffusion-webui's API: PROGRAM PORT."""

import base64
import io
import sys
import threading
import time

import webuiapi
from PIL import Image

api = webuiapi.WebUIApi(host="127.0.0.1", port=int(sys.argv[1]), steps=2)
small = {"width": 64, "height": 64, "seed": 5, "cfg_scale": 4}

result = api.txt2img(prompt="a (fox:1.2)", negative_prompt="blue", batch_size=2, **small)
assert [image.size for image in result.images] == [(64, 64)] * 2
assert result.info["all_seeds"] == [5, 6]
assert "Sampler: Euler a" in result.images[0].info["parameters"]
assert result.images[0].tobytes() != result.images[1].tobytes()

described = api.png_info(result.image)
assert described.info == result.info["infotexts"][0], described.info

changed = api.img2img(prompt="a fox", images=[result.image], denoising_strength=0.5, **small)
assert changed.image.size == (64, 64)
mask = Image.new("L", (64, 64), 255)
painted = api.img2img(prompt="a fox", images=[result.image], mask_image=mask, inpainting_fill=1, **small)
assert painted.image.size == (64, 64)

drawn = []
thread = threading.Thread(target=lambda: drawn.append(api.txt2img(prompt="a fox", **{**small, "steps": 100})))
thread.start()
seen = set()
while thread.is_alive() and len(seen) < 3:
    seen.add(api.get_progress()["state"]["sampling_step"])
    time.sleep(0.02)
assert len(seen) == 3, seen
api.interrupt()
thread.join()

assert [model["title"] for model in api.get_sd_models()] == ["tiny"]
api.util_set_model("tiny")
assert api.util_get_current_model() == "tiny"
assert "DPM++ 2M" in api.util_get_sampler_names()
assert api.get_loras() == []
assert [mode["name"] for mode in api.get_latent_upscale_modes()][0] == "Latent"
assert [upscaler["name"] for upscaler in api.get_upscalers()] == ["Lanczos"]
assert api.get_sd_vae() == api.get_prompt_styles() == api.get_face_restorers() == []
assert api.get_embeddings() == {"loaded": {}, "skipped": {}}
api.get_cmd_flags(), api.get_memory(), api.refresh_checkpoints()
api.set_options(api.get_options())
enlarged = api.txt2img(
    prompt="a fox", enable_hr=True, hr_resize_x=64, denoising_strength=0.5, **{**small, "width": 32, "height": 32}
)
assert enlarged.image.size == (64, 64)
assert "Hires resize: 64x64, Hires upscaler: Latent" in enlarged.info["infotexts"][0], enlarged.info

assert api.controlnet_version() == 3
assert api.controlnet_model_list() == ["canny", "shuffle", "face", "plus"]
assert "none" in api.controlnet_module_list()
canny = webuiapi.ControlNetUnit(image=changed.image, model="canny", weight=1.5)
# Without units first: the client keeps those of the last call.
plain = api.txt2img(prompt="a fox", **small)
controlled = api.txt2img(prompt="a fox", controlnet_units=[canny], **small)
assert controlled.image.tobytes() != plain.image.tobytes()
prompt = webuiapi.ControlNetUnit(image=changed.image, module="ip-adapter-auto", model="plus", weight=0.6)
prompted = api.txt2img(prompt="a fox", controlnet_units=[canny, prompt], **small)
assert prompted.image.tobytes() != controlled.image.tobytes()


def tell(name, image):
    file = io.BytesIO()
    image.save(file, "png")
    print(name, base64.b64encode(file.getvalue()).decode())


# The test draws the same with the pipeline itself.
tell("control", changed.image)
tell("drawn", controlled.image)
