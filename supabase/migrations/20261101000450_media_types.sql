-- The list of what can be uploaded. Everything else that needs the list is generated from it: the worker's formats, the
-- page's list and the guide "What can be uploaded". After a change, run `make formats`.
--
-- An alias is on the list because a browser, a phone or an operating system sends it: Chromium, Firefox and Safari with
-- their MediaRecorder, Android's MimeTypeMap, the shared-mime-info of Linux desktops, macOS and Windows. A type that is
-- not listed is refused, because Storage serves each object with the type of its upload, from the host of the project.
-- Browsers run the scripts of any type that ends in +xml, such as video/svg+xml.
--
-- MXF, WavPack, TTA, raw codec streams (.264, .m2v) and DRM formats are not on the list (decision 101).

set lock_timeout = '5s';
set statement_timeout = '30s';

-- Containers ------------------------------------------------------------------
create table assetdock_private.containers (
  name text primary key,
  title text not null,
  kind text not null check (kind in ('media', 'subtitles')),
  demuxers text[] not null,
  media_type text not null,
  video_media_type text,
  extensions text[] not null,
  video_extensions text[] not null default '{}',
  aliases text[] not null
);
alter table assetdock_private.containers enable row level security;
comment on table assetdock_private.containers is 'Every container that can be uploaded and read.';
comment on column assetdock_private.containers.name is 'As in the media of an asset.';
comment on column assetdock_private.containers.demuxers is
  'What ffprobe calls it. The worker allows no other demuxers.';
comment on column assetdock_private.containers.media_type is
  'The content_type of an asset in this container, or, if there is a video_media_type, of one without a picture.';
comment on column assetdock_private.containers.extensions is
  'Extensions of file names that suggest media_type; video_extensions suggest video_media_type.';
comment on column assetdock_private.containers.aliases is
  'Other media types for this container. One type can stand for several containers.';

insert into assetdock_private.containers
  (name, title, kind, demuxers, media_type, video_media_type, extensions, video_extensions, aliases)
values
  ('mp4', 'MP4', 'media', '{mov}', 'audio/mp4', 'video/mp4', '{m4a,m4b,m4r,mp4a}', '{mp4,m4v,mp4v,f4v}',
    '{application/mp4,audio/m4a,audio/x-m4a,audio/m4b,audio/x-m4b,audio/x-m4r,audio/x-mp4,audio/mp4a-latm,audio/aac,'
    'audio/x-aac,video/m4v,video/x-m4v,video/x-mp4,video/mp4v-es,video/x-f4v}'),
  ('mov', 'QuickTime', 'media', '{mov}', 'video/quicktime', null, '{mov,qt}', '{}', '{video/x-quicktime}'),
  ('3gp', '3GP and 3G2', 'media', '{mov}', 'audio/3gpp', 'video/3gpp', '{3ga}', '{3gp,3gpp,3g2,3gpp2}',
    '{audio/3gpp2,video/3gpp2,audio/3gp,video/3gp,video/3g2,audio/amr,audio/amr-wb}'),
  ('webm', 'WebM', 'media', '{matroska}', 'audio/webm', 'video/webm', '{weba}', '{webm}',
    '{audio/opus,audio/vorbis,audio/x-matroska,video/x-matroska}'),
  ('matroska', 'Matroska', 'media', '{matroska}', 'audio/x-matroska', 'video/x-matroska', '{mka}', '{mkv,mk3d}',
    '{application/x-matroska,audio/matroska,video/matroska,video/x-matroska-3d,video/mkv,video/x-mkv,audio/webm,'
    'video/webm}'),
  ('mp3', 'MP3 and MP2', 'media', '{mp3}', 'audio/mpeg', null, '{mp3,mp2,mpga,mpega,mpa,mp2a,m2a,m3a}', '{}',
    '{audio/mp3,audio/x-mp3,audio/mpeg3,audio/x-mpeg3,audio/x-mpeg-3,audio/x-mpeg,audio/mpg,audio/x-mpg,audio/mpa,'
    'audio/mp2,audio/x-mp2}'),
  ('wav', 'WAV, BWF and RF64', 'media', '{wav}', 'audio/wav', null, '{wav,wave,bwf,rf64}', '{}',
    '{audio/wave,audio/x-wav,audio/x-wave,audio/vnd.wave,audio/x-pn-wav}'),
  ('w64', 'Wave64', 'media', '{w64}', 'audio/x-w64', null, '{w64}', '{}', '{audio/wav,audio/x-wav}'),
  ('aiff', 'AIFF and AIFF-C', 'media', '{aiff}', 'audio/aiff', null, '{aiff,aif,aifc}', '{}',
    '{audio/x-aiff,audio/aifc,audio/x-aifc,audio/x-aiffc,audio/x-pn-aiff}'),
  ('caf', 'Core Audio Format', 'media', '{caf}', 'audio/x-caf', null, '{caf}', '{}', '{audio/caf}'),
  ('au', 'AU', 'media', '{au}', 'audio/basic', null, '{au,snd}', '{}', '{audio/au,audio/x-au,audio/x-basic}'),
  ('flac', 'FLAC', 'media', '{flac}', 'audio/flac', null, '{flac}', '{}',
    '{audio/x-flac,application/flac,application/x-flac}'),
  ('ogg', 'Ogg', 'media', '{ogg}', 'audio/ogg', 'video/ogg', '{ogg,oga,opus,spx}', '{ogv,ogm,ogx}',
    '{application/ogg,application/x-ogg,audio/x-ogg,video/x-ogg,audio/opus,audio/x-opus,audio/x-opus+ogg,audio/vorbis,'
    'audio/x-vorbis,audio/x-vorbis+ogg,audio/speex,audio/x-speex,audio/x-speex+ogg,audio/x-oggflac,audio/x-flac+ogg,'
    'audio/flac,audio/x-flac,video/x-ogm,video/x-ogm+ogg,video/x-theora,video/x-theora+ogg}'),
  ('aac', 'AAC (ADTS)', 'media', '{aac}', 'audio/aac', null, '{aac,adts,adt}', '{}',
    '{audio/aacp,audio/x-aac,audio/x-aacp,audio/aac-adts,audio/x-hx-aac-adts,audio/vnd.dlna.adts,audio/mp4a-latm}'),
  ('ac3', 'AC-3', 'media', '{ac3}', 'audio/ac3', null, '{ac3}', '{}', '{audio/x-ac3}'),
  ('eac3', 'E-AC-3', 'media', '{eac3}', 'audio/eac3', null, '{eac3,ec3}', '{}',
    '{audio/x-eac3,audio/ec3,audio/ac3,audio/x-ac3}'),
  ('dts', 'DTS', 'media', '{dts,dtshd}', 'audio/vnd.dts', null, '{dts,dtshd}', '{}',
    '{audio/vnd.dts.hd,audio/dts,audio/x-dts,audio/x-dtshd}'),
  ('amr', 'AMR', 'media', '{amr,amrnb,amrwb}', 'audio/amr', null, '{amr,awb}', '{}',
    '{audio/amr-wb,audio/x-amr,audio/amr-nb,audio/3gpp}'),
  ('mpegts', 'MPEG transport stream', 'media', '{mpegts}', 'video/mp2t', null, '{ts,mts,m2ts,m2t,tp,trp}', '{}',
    '{audio/mp2t,video/mp2ts,video/vnd.dlna.mpeg-tts,video/avchd-stream,video/mpeg}'),
  ('mpeg', 'MPEG program stream', 'media', '{mpeg}', 'video/mpeg', null, '{mpg,mpeg,mpe,vob,m2p,tod}', '{}',
    '{video/mp2p,video/mpg,video/x-mpeg,video/x-mpg,video/mpeg2,video/x-mpeg2,video/mpeg-system,video/x-mpeg-system,'
    'video/x-ms-vob}'),
  ('avi', 'AVI', 'media', '{avi}', 'video/x-msvideo', null, '{avi,divx}', '{}',
    '{video/avi,video/x-avi,video/msvideo,video/vnd.avi,video/divx,video/x-divx,video/vnd.divx}'),
  ('asf', 'Windows Media', 'media', '{asf}', 'audio/x-ms-wma', 'video/x-ms-wmv', '{wma}', '{wmv,asf,wm}',
    '{audio/wma,video/wmv,video/x-ms-asf,video/x-ms-wm,application/vnd.ms-asf}'),
  ('flv', 'Flash Video', 'media', '{flv}', 'video/x-flv', null, '{flv}', '{}',
    '{video/flv,audio/x-flv,application/x-flash-video}'),
  ('srt', 'SubRip', 'subtitles', '{srt}', 'application/x-subrip', null, '{srt}', '{}',
    '{application/srt,application/x-srt,text/srt,text/x-srt,text/x-subrip,text/plain}');

create function assetdock_private.unspecific_media_types()
returns text[]
language sql immutable parallel safe
begin atomic
  select array['application/octet-stream', 'binary/octet-stream'];
end;
comment on function assetdock_private.unspecific_media_types() is 'Media types that say nothing about the bytes.';

-- Media types -----------------------------------------------------------------
create function assetdock_private.media_type(content_type text)
returns text
language sql immutable parallel safe
begin atomic
  select lower(btrim(split_part(content_type, ';', 1), E' \t'));
end;
comment on function assetdock_private.media_type(text) is
  'The type and subtype of a content type, in lower case: what is compared. Parameters are only for display, because '
  'the multipart parser of Storage drops them.';

create function assetdock_private.stated_content_type(content_type text)
returns text
language sql immutable parallel safe
begin atomic
  select case when assetdock_private.media_type(content_type) <> ''
    then rtrim(btrim(content_type, E' \t'), E'; \t') end;
end;
comment on function assetdock_private.stated_content_type(text) is
  'A content type without spaces around it and without a trailing semicolon. Null if it says nothing, as the type of a '
  'File whose extension the browser does not know.';

-- The names as constants: each reservation compares with them, and a query would cost it another statement. A migration
-- that changes the list must create this function again.
do $$
declare
  media text[];
  subtitles text[];
begin
  select array_agg(distinct n.name) filter (where c.kind = 'media'),
    array_agg(distinct n.name) filter (where c.kind = 'subtitles')
  into media, subtitles
  from assetdock_private.containers c, unnest(c.aliases || c.media_type || c.video_media_type) n (name)
  where n.name is not null;
  execute format($function$
    create function assetdock_private.listed_media_types(asset_type text)
    returns text[]
    language sql immutable parallel safe
    begin atomic
      select case when asset_type is not distinct from 'cut_file' then %L::text[] else %L::text[] end;
    end
  $function$, subtitles, media);
end
$$;
comment on function assetdock_private.listed_media_types(text) is
  'Every media type and alias of assetdock_private.containers that an asset of this type can have.';

create function assetdock_private.is_listed_media_type(asset_type text, sent text)
returns boolean
language sql immutable parallel safe
begin atomic
  select coalesce(sent, '') = ''
    or sent = any (assetdock_private.unspecific_media_types())
    or sent = any (assetdock_private.listed_media_types(asset_type));
end;
comment on function assetdock_private.is_listed_media_type(text, text) is
  'Whether an asset of this type can have bytes of this media type: one on the list, or one that says nothing. sent: a '
  'result of media_type().';

create function assetdock_private.unlisted_media_type(asset_type text, sent text)
returns text
language sql immutable parallel safe
begin atomic
  select format(
    case when asset_type = 'cut_file'
      then '%s is not a type of SubRip. A cut file has the type application/x-subrip.'
      else '%s is not a type of audio or video that can be uploaded. Send the type of the file, such as audio/mpeg. '
        '/docs/formats.md lists all types.'
    end,
    left(sent, 127)
  );
end;
comment on function assetdock_private.unlisted_media_type(text, text) is
  'The message for a media type that is not on the list. It names the type.';

-- Grants ----------------------------------------------------------------------
call assetdock_private.revoke_default_grants();
