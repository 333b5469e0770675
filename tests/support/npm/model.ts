// What a dashboard of ours may hold: Grafana's types, closed where Grafana leaves "unknown" and
// opened where its schema lags behind what it reads (variables, annotations of Flux sources).
import type {
  AnnotationQuery,
  Dashboard,
  DashboardLink,
  FieldColor,
  FieldConfig,
  GraphFieldConfig,
  GridPos,
  Panel,
  SingleStatBaseOptions,
  TableFieldOptions,
  TableSortByFieldState,
  ValueMapping,
  VariableModel,
  VizLegendOptions,
  VizTooltipOptions,
} from './schema';

type Source = { type: 'influxdb'; uid: '${datasource}' };
type Target = { datasource: Source; query: string; refId: string };
// The lowest step has no value, which is null in JSON.
type Thresholds = { mode: 'absolute'; steps: { color: string; value: number | null }[] };
type Link = { title: string; url: string; targetBlank: boolean };

// One override: the properties that exist, each with a value of its type.
type Property =
  | { id: 'displayName' | 'unit'; value: string }
  | { id: 'decimals' | 'custom.width' | 'custom.minWidth'; value: number }
  | { id: 'custom.pointSize' | 'custom.lineWidth'; value: number }
  | { id: 'custom.lineStyle'; value: NonNullable<GraphFieldConfig['lineStyle']> }
  | { id: 'color'; value: { fixedColor: string; mode: 'fixed' } }
  | { id: 'custom.drawStyle'; value: NonNullable<GraphFieldConfig['drawStyle']> }
  | { id: 'custom.displayMode'; value: TableFieldOptions['displayMode'] }
  | { id: 'thresholds'; value: Thresholds }
  | { id: 'links'; value: Link[] };
type Override = {
  matcher: { id: 'byName' | 'byFrameRefID' | 'byRegexp'; options: string };
  properties: Property[];
};

type Look<Custom> = Omit<FieldConfig, 'custom' | 'links' | 'color' | 'mappings' | 'thresholds'> & {
  color: FieldColor;
  links?: Link[];
  mappings: ValueMapping[];
  noValue: string;
  thresholds: Thresholds;
} & ([Custom] extends [never] ? unknown : { custom: Custom });
type Organize = {
  id: 'organize';
  options: {
    excludeByName: Record<string, boolean>;
    indexByName: Record<string, number>;
    renameByName: Record<string, string>;
  };
};
type Base<Kind extends string, Options, Custom> = Omit<
  Panel,
  'type' | 'options' | 'fieldConfig' | 'targets' | 'datasource' | 'transformations' | 'links'
> & {
  type: Kind;
  id: number;
  title: string;
  description: string;
  gridPos: GridPos;
  datasource: Source;
  targets: Target[];
  links: DashboardLink[];
  transformations: Organize[];
  options: Options;
  fieldConfig: { defaults: Look<Custom>; overrides: Override[] };
  maxDataPoints?: number;
};

type Chart = Base<
  'timeseries',
  { legend: VizLegendOptions; tooltip: VizTooltipOptions },
  GraphFieldConfig
>;
type Stat = Base<
  'stat',
  SingleStatBaseOptions & {
    colorMode: 'background' | 'none' | 'value';
    graphMode: 'area' | 'none';
    justifyMode: 'auto' | 'center';
    textMode: 'auto' | 'name' | 'none' | 'value' | 'value_and_name';
  },
  never
>;
type Table = Base<
  'table',
  {
    footer: { fields: string; reducer: string[]; show: boolean };
    frameIndex: number;
    showHeader: boolean;
    sortBy: TableSortByFieldState[];
  },
  TableFieldOptions
>;
type Row = {
  type: 'row';
  id: number;
  title: string;
  collapsed: boolean;
  gridPos: GridPos;
  panels: never[];
};

type Choice = { selected: boolean; text: string; value: string };
type Variable = VariableModel & {
  label: string;
  description: string;
  current: Record<string, never> | { selected: boolean; text: string | string[]; value: string | string[] };
  hide: 0 | 1 | 2;
  query: string;
  skipUrlSync: boolean;
  allValue?: string | null;
  datasource?: Source;
  definition?: string;
  includeAll?: boolean;
  multi?: boolean;
  options: Choice[];
  refresh?: 0 | 1 | 2;
  regex?: string;
  sort?: number;
};
type Annotation = Omit<AnnotationQuery, 'target' | 'datasource'> & {
  datasource: Source;
  target: { query: string; refId: string };
};

export type Board = Omit<Dashboard, 'panels' | 'templating' | 'annotations' | 'id'> & {
  id: null;
  annotations: { list: Annotation[] };
  panels: (Chart | Stat | Table | Row)[];
  templating: { list: Variable[] };
};
