"""MediaPipe's Face Landmarker in a separate process, timed batch by batch by benchmarks/perception.py.

Requires mediapipe ≥ 0.10.30 and numpy. Reads pictures (N, H, W, 3) uint8 from an .npy file; then, for every line on
standard input, detects the faces in all of them, one by one, and prints the seconds and the number of faces.
"""

from __future__ import annotations

import sys
import time

import numpy as np

try:
    import mediapipe
    from mediapipe.tasks.python import BaseOptions, vision
except ModuleNotFoundError:
    sys.exit('mediapipe is missing: run pip install "mediapipe>=0.10.30", or give the Python of another environment.')


def main() -> None:
    task_model, pictures_path, max_faces = sys.argv[1:]
    # The conversion to MediaPipe's image type is not timed.
    pictures = [mediapipe.Image(mediapipe.ImageFormat.SRGB, picture) for picture in np.load(pictures_path)]
    options = vision.FaceLandmarkerOptions(
        base_options=BaseOptions(model_asset_path=task_model),
        running_mode=vision.RunningMode.IMAGE,
        num_faces=int(max_faces),
    )
    with vision.FaceLandmarker.create_from_options(options) as landmarker:
        print(f"mediapipe {mediapipe.__version__}", flush=True)
        for _ in sys.stdin:
            start = time.perf_counter()
            faces = sum(len(landmarker.detect(picture).face_landmarks) for picture in pictures)
            print(time.perf_counter() - start, faces, flush=True)


if __name__ == "__main__":
    main()
