"""Measure photos with MediaPipe's own legacy face mesh, as the reference for tests of the bundled landmarker.

    pip install mediapipe==0.10.21     # in an environment of its own: it wants old versions of other packages
    python tools/measure_reference_landmarks.py --out tests/perception/reference_landmarks.npz \\
        astronaut.png grace_hopper.jpg

The two photos of the test suite are scikit-image's `skimage/data/astronaut.png` and matplotlib's
`matplotlib/mpl-data/sample_data/grace_hopper.jpg`. The file holds one array per photo, named by its stem:
(faces, 478, 3) float32 in normalized image coordinates.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import mediapipe
import numpy as np
from PIL import Image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True, help="the .npz to write")
    arguments = parser.parse_args()
    measured = {}
    with mediapipe.solutions.face_mesh.FaceMesh(
        static_image_mode=True, refine_landmarks=True, max_num_faces=10, min_detection_confidence=0.5
    ) as face_mesh:
        for photo in arguments.photos:
            with Image.open(photo) as image:
                faces = face_mesh.process(np.asarray(image.convert("RGB"))).multi_face_landmarks or []
            points = [[(point.x, point.y, point.z) for point in face.landmark] for face in faces]
            measured[photo.stem] = np.array(points, np.float32).reshape(-1, 478, 3)
            print(f"{photo}: {len(points)} faces")
    np.savez_compressed(arguments.out, **measured)


if __name__ == "__main__":
    main()
