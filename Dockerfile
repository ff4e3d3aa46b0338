# An image of the package on CPUs. Nothing needs it.
#   docker build -t keras_rescnet .
#   docker run --rm -v "$PWD/runs:/runs" keras_rescnet train --recipe digits_gclu_resnet8 --workdir /runs/digits
FROM python:3.11-slim

COPY . /source
RUN pip install --no-cache-dir "/source[quickstart,plot]" && rm -r /source

WORKDIR /work
ENTRYPOINT ["keras-rescnet"]
